"""Autobird: your own classifier of bird recordings, from recordings to a released model and a server."""

import os

# ONNX Runtime (from 1.29), Evidently and W&B (also offline) send usage statistics or error reports, unless these variables are
# set before they are imported. Autobird sends no data unless the user asks for it.
for _name, _value in (("ORT_DISABLE_TELEMETRY", "1"), ("DO_NOT_TRACK", "1"), ("WANDB_ERROR_REPORTING", "false")):
    os.environ.setdefault(_name, _value)
