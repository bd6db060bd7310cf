"""The usual way to serve a torch model, tuned: FastAPI, one process a core, one thread in each.

It decodes with the same libraries as the project, and the network has the weights of the run before its export. The front end
is torch with a filter bank that is made once, the network is frozen, the body is decoded from memory, and the answer is written
without validation. It measures no drift features and no audio facts, and has no limits, queue, log or metrics.
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from fastapi import FastAPI, Request, Response
from torch.nn import functional as F

from autobird.audio.settings import MelSettings
from autobird.core.files import read_json
from autobird.model.audio_transforms import functional
from autobird.model.trained import load_trained
from tests.benchmarks.server_load import RUN

TOP = 5

torch.set_num_threads(1)
torch.set_grad_enabled(False)

_model = read_json(Path(os.environ[RUN]) / "model/model.json")
_labels = _model["labels"]
_s = MelSettings.model_validate(
    {key: _model["features"][key] for key in MelSettings.model_fields if key in _model["features"]}
)
_window = torch.hann_window(_s.n_fft)
_bank = functional.melscale_fbanks(
    _s.n_fft // 2 + 1, _s.fmin, _s.fmax, _s.mels, _s.sample_rate, norm=None, mel_scale="htk"
).T.contiguous()
_per_window, _per_hop = _s.window_samples // _s.hop_length, _s.hop_samples // _s.hop_length


def _frozen() -> torch.jit.ScriptModule:
    network, _ = load_trained(_model, Path(os.environ[RUN]) / "model/weights.safetensors")
    sample = torch.zeros(2, 1, _s.mels, _per_window + 1)
    found = torch.jit.optimize_for_inference(torch.jit.trace(network.eval(), sample))
    for _ in range(5):  # the first calls compile
        found(sample)
    return found


_network = _frozen()
app = FastAPI()


def _windows(samples: np.ndarray) -> torch.Tensor:
    """Return the mel windows of a recording; shape (windows, 1, mels, frames)."""
    x = torch.from_numpy(samples)
    x = F.pad(x, (0, max(0, _s.window_samples - len(x))))
    spectrum = torch.stft(x, _s.n_fft, _s.hop_length, window=_window, pad_mode="reflect", return_complex=True)
    mel = torch.log(_bank @ spectrum.abs().square() + 1e-6)
    return mel.unfold(1, _per_window + 1, _per_hop).transpose(0, 1).unsqueeze(1).contiguous()


def _top(probabilities: torch.Tensor) -> list[dict[str, object]]:
    values, order = probabilities.topk(min(TOP, len(_labels)))
    return [
        {"species": _labels[i], "probability": round(p, 4)}
        for i, p in zip(order.tolist(), values.tolist(), strict=True)
    ]


@app.post("/v1/predict")
async def predict(request: Request) -> Response:
    """Classify the body. The process has one thread: another one would only compete for its core."""
    data = await request.body()
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    probabilities = torch.sigmoid(_network(_windows(soxr.resample(mono, rate, _s.sample_rate, quality="HQ"))))
    windows = [{"start": n * _s.hop_samples / _s.sample_rate, "species": _top(p)} for n, p in enumerate(probabilities)]
    body = {"duration": len(mono) / rate, "species": _top(probabilities.mean(dim=0)), "windows": windows}
    return Response(json.dumps(body), media_type="application/json")


@app.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return Response("{}", media_type="application/json")
