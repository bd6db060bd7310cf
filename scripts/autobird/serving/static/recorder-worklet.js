/** Part of the audio system that passes the microphone's samples to the page. */

registerProcessor("autobird-recorder", class extends AudioWorkletProcessor {
  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    if (channels?.length) this.port.postMessage(channels[0].slice());
    return true;
  }
});
