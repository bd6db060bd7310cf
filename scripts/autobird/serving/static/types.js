/**
 * Types of the server's answers and of the session's files, for the comments of the other modules; this module has no code.
 *
 * @typedef {{species: string, probability: number}} SpeciesScore
 * @typedef {{start: number, end: number, quiet: boolean, species: SpeciesScore[], unknown_score?: number|null}} AnswerWindow
 *   start and end in seconds
 * @typedef {{start: number, end: number, species: string, probability: number, unknown_score?: number|null}} Detection
 *   start and end in seconds
 * @typedef {{bands: number, columns: number, fmin: number, fmax: number, data: string}} ServerSpectrogram
 *   8-bit mel spectrogram in base64, row by row from the lowest band
 * @typedef {{format?: string, sample_rate?: number, channels?: number, level_dbfs?: number, peak_dbfs?: number, clipped_share?: number,
 *   bandwidth_hz?: number, upper_band_missing?: boolean}} AudioFacts
 * @typedef {{site?: string|null, recorder?: string|null, recorded_at?: string|null}} Place recorded_at in ISO 8601
 * @typedef {object} Answer answer of `/v1/predict`; the optional keys are those that older servers do not send
 * @property {{name: string, fingerprint: string, variant?: string}} model
 * @property {number} duration seconds
 * @property {string} note
 * @property {SpeciesScore[]} species most probable species of the recording
 * @property {number|null} [unknown_score]
 * @property {Detection[]} detections
 * @property {AnswerWindow[]} windows
 * @property {ServerSpectrogram} [spectrogram]
 * @property {AudioFacts} [audio]
 * @property {string[]} [warnings]
 * @property {Record<string, number|null>} [thresholds] null: never reached
 * @property {Record<string, string>} [common_names]
 * @property {Place} [recording] where and when the recording was made
 * @property {string} [request]
 *
 * @typedef {"waiting"|"uploading"|"computing"|"done"|"failed"|"cancelled"} Status
 * @typedef {object} Entry a file of the session
 * @property {number} id
 * @property {number} batch files that were added together have the same number
 * @property {File} file
 * @property {Status} status
 * @property {number|null} sent share of the file that has been sent, or of its job that is done, 0 to 1; null: unknown
 * @property {Answer|null} answer
 * @property {string} problem why it failed, or why it waits; "" otherwise
 * @property {() => void} stop stops the request that is running
 * @property {boolean} asJob whether it is sent as a job, because it is long
 * @property {string} job id of its job on the server; "" if it has none
 * @property {string} note what the server says about its job; "" otherwise
 * @property {boolean} isRestored whether the page was loaded again since, so that there is no sound
 */
export {};
