/** Worker that holds the samples of the recording that is shown and draws parts of its spectrogram. */

import {RANGE_DB} from "./colours.js";
import {FrameTransform, frameSize, levels, picture} from "./stft.js";

let samples = new Float32Array(0), rate = 1, ceiling = 0, transform = new FrameTransform(2);

self.onmessage = ({data: message}) => {
  if (message.kind === "open") {
    ({samples, rate} = message);
    transform = new FrameTransform(frameSize(rate));
    const found = levels(transform, samples);
    ceiling = found.ceiling;
    const floor = Math.round(255 + ((found.floor - found.ceiling) * 255) / RANGE_DB);
    self.postMessage({kind: "opened", number: message.number, floor});
  } else {
    const data = picture(transform, samples, rate, {...message.part, ceiling});
    self.postMessage({kind: "drawn", number: message.number, data}, {transfer: [data.buffer]});
  }
};
