"""Connects the clients of Google Batch and Cloud Logging to the server FAKE_BATCH; Python imports this file at start-up.

The folder of this file is in PYTHONPATH of the Snakemake under test, so its plugins are not changed. The client of Cloud
Storage needs no change: it uses STORAGE_EMULATOR_HOST.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType

_TRANSPORTS = {
    "google.cloud.batch_v1.services.batch_service.transports.grpc": "BatchServiceGrpcTransport",
    "google.cloud.logging_v2.services.logging_service_v2.transports.grpc": "LoggingServiceV2GrpcTransport",
}


def _redirect(module: ModuleType, address: str) -> None:
    import grpc
    from google.auth.credentials import AnonymousCredentials

    transport = getattr(module, _TRANSPORTS[module.__name__])
    original = transport.__init__

    def init(self: object, **kw: object) -> None:
        for name in ("credentials_file", "scopes", "client_cert_source_for_mtls", "always_use_jwt_access"):
            kw.pop(name, None)
        channel = grpc.insecure_channel(address)
        original(self, **kw | {"credentials": AnonymousCredentials(), "channel": channel, "host": "localhost"})

    transport.__init__ = init


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, address: str) -> None:
        self.address, self.left = address, set(_TRANSPORTS)

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self.left:
            return None
        self.left.discard(name)
        spec = importlib.util.find_spec(name)
        original = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            original(module)
            _redirect(module, self.address)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("FAKE_BATCH"):
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    sys.meta_path.insert(0, _Finder(os.environ["FAKE_BATCH"]))
    google.auth.default = lambda *_a, **_k: (AnonymousCredentials(), os.environ.get("GOOGLE_CLOUD_PROJECT"))
