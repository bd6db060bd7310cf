"""The JSON schemas of answers in the OpenAPI document."""

from typing import Any

Schema = dict[str, Any]


def schema(kind: str | list[str], description: str = "", **keywords: Any) -> Schema:
    """Return a schema of a type."""
    return {"type": kind, **({"description": description} if description else {}), **keywords}


def record(properties: dict[str, Schema], description: str = "", optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object whose properties are all there, except the optional ones."""
    required = [name for name in properties if name not in optional]
    return schema("object", description, required=required, properties=properties)


def array(items: Schema, description: str = "") -> Schema:
    """Return the schema of a list."""
    return schema("array", description, items=items)


def by_name(values: Schema, description: str = "") -> Schema:
    """Return the schema of an object with any names and values of one schema."""
    return schema("object", description, additionalProperties=values)


def ref(name: str) -> Schema:
    """Return a reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


TEXT = schema("string")
NUMBER_OR_NULL = schema(["number", "null"])
PROBABILITY = schema("number", minimum=0, maximum=1)
SECONDS = schema("number", "seconds", minimum=0)
_SPAN = {"start": SECONDS, "end": SECONDS}

_PROBLEM = {
    "type": schema("string", "place in /docs that explains this kind of problem", format="uri-reference"),
    "title": schema("string", "kind of the problem"),
    "status": schema("integer", "HTTP status", minimum=400, maximum=599),
    "detail": schema("string", "what is wrong with which value, and the remedy"),
}

_AUDIO = record(
    {
        "format": schema("string", "container and codec"),
        "sample_rate": schema("integer", "of the file, Hz", minimum=1),
        "channels": schema("integer", "of the file", minimum=1),
        "level_dbfs": schema(["number", "null"], "RMS level relative to full scale, dB; null for silence"),
        "peak_dbfs": schema(["number", "null"], "largest sample relative to full scale, dB; null for silence"),
        "clipped_share": schema("number", "share of the samples that are at full scale", minimum=0, maximum=1),
        "bandwidth_hz": schema(
            ["integer", "null"], "highest frequency with sound above the noise of rounding to 16 bits; null for silence"
        ),
        "upper_band_missing": schema(
            "boolean", "whether there is no sound in the upper part of the frequencies that the model uses, as at 8 kHz"
        ),
    },
    "technical facts of the recording, measured while it was decoded",
)

_ANSWER = record(
    {
        "schema": schema("string", "name and version of this format", const="autobird/answer/1"),
        "request": schema("string", "id of the request, also in the header X-Request-Id"),
        "prediction": schema(
            ["integer", "null"], "id of the entry in the log; null without a log, or if it is not written yet"
        ),
        "file": schema("string", "name of the file from the client, or empty"),
        "model": record({"name": TEXT, "variant": TEXT, "fingerprint": TEXT}),
        "duration": schema("number", "seconds", minimum=0),
        "note": schema("string", "problems with a recording that was classified nevertheless, or empty"),
        "species": array(
            ref("SpeciesProbability"),
            "most probable species of the recording; empty if the whole recording is quiet",
        ),
        "unknown_score": ref("UnknownScore"),
        "detections": array(
            record({**_SPAN, "species": TEXT, "probability": PROBABILITY, "unknown_score": ref("UnknownScore")}),
            "times at which a species reaches its threshold",
        ),
        "windows": array(
            record(
                {
                    **_SPAN,
                    "quiet": schema("boolean", "too quiet to be used"),
                    "species": array(ref("SpeciesProbability")),
                    "unknown_score": ref("UnknownScore"),
                }
            ),
            "all windows; empty with windows=0",
        ),
        "audio": _AUDIO,
        "warnings": array(TEXT, "what a user should know about the recording and the options"),
        "recording": record(
            {"site": TEXT, "recorder": TEXT, "recorded_at": TEXT},
            "from the name and the header of the file; empty if unknown",
        ),
        "thresholds": by_name(
            NUMBER_OR_NULL, "threshold in use of each species that this answer names; null: it is not reported"
        ),
        "probabilities": by_name(PROBABILITY, "of all species in the recording, with top_k=0; empty if it is quiet"),
        "spectrogram": record(
            {
                "bands": schema("integer"),
                "columns": schema("integer"),
                "fmin": schema("number", "Hz"),
                "fmax": schema("number", "Hz"),
                "data": schema("string", "8 bits a cell, row by row from the lowest band", contentEncoding="base64"),
            },
            "mel spectrogram of the whole recording, with spectrogram=1",
        ),
        "common_names": by_name(TEXT, "common names of the species that this answer names, as far as they are known"),
        "seconds": by_name(schema("number", minimum=0), "time of each stage"),
    },
    "the answer for one recording",
    optional=("probabilities", "spectrogram"),
)

_SCORE = record(
    {"value": schema("number"), "low": NUMBER_OR_NULL, "high": NUMBER_OR_NULL}, "a score with its confidence interval"
) | {"type": ["object", "null"]}

SCHEMAS: dict[str, Schema] = {
    "Answer": _ANSWER,
    "Answers": record(
        {
            "schema": schema("string", const="autobird/answers/1"),
            "request": TEXT,
            "files": array(
                {
                    "anyOf": [
                        ref("Answer"),
                        record({"file": TEXT, "problem": ref("Problem")}, "a file without an answer"),
                    ]
                },
                "in the order of the files",
            ),
        },
        "the answers for several recordings",
    ),
    "SpeciesProbability": record({"species": TEXT, "probability": PROBABILITY}),
    "UnknownScore": schema(
        ["number", "null"],
        "how little the sound resembles the species of the model: the share of validation windows with one of them that resemble "
        "them more; of the recording, the lowest of its windows; null if the model has no such score or all windows are quiet",
        minimum=0,
        maximum=1,
    ),
    "Problem": record(_PROBLEM | {"request": schema("string", "id of the request")}, "RFC 9457", optional=("request",)),
    "Species": record(
        {
            "species": schema("string", "label of the model"),
            "threshold": schema(["number", "null"], "probability from which it is detected; null: never"),
            "scientific_name": schema(["string", "null"]),
            "common_name": schema(["string", "null"]),
            "precision_thresholds": by_name(
                NUMBER_OR_NULL, "threshold for each precision on validation; null if it is not reached"
            ),
        }
    ),
    "Model": record(
        {
            "name": TEXT,
            "variant": TEXT,
            "fingerprint": TEXT,
            "species": schema("integer", "number of species", minimum=1),
            "outputs": schema("string", "what the probabilities mean", enum=["softmax", "independent"]),
            "backbone": schema(["object", "null"], "pretrained network that the model needs"),
            "features": schema("object", "windows and front end"),
            "precisions": array(schema("number"), "precisions for which there are thresholds"),
            "formats": array(TEXT, "extensions of the files that can be decoded"),
            "limits": record(
                {
                    "megabytes": schema("number"),
                    "seconds": schema("number"),
                    "values": schema("integer", "decoded samples of all channels"),
                    "files": schema("integer"),
                    "jobs": {
                        "anyOf": [
                            record({"megabytes": schema("number"), "seconds": schema("number")}),
                            {"type": "null", "description": "the server takes no jobs"},
                        ]
                    },
                    "waiting_requests": schema("integer"),
                }
            ),
            "card": schema("string", "model card, Markdown"),
            "metrics": array(
                record({"metric": TEXT, "per_recording": _SCORE, "per_window": _SCORE}),
                "scores on the test recordings",
            ),
            "licence": schema("object", "licences of the training recordings, and the terms that follow from them"),
            "attribution": schema("string", "path of the list of authors of the training recordings"),
        }
    ),
    "Health": record({"status": schema("string", const="ok"), "model": schema("string", "fingerprint")}),
    "Embedding": record(
        {
            "backbone": schema("string", "name of the backbone"),
            "ready": schema("boolean"),
            "threads": schema("integer", "windows that are computed at the same time"),
            "windows": schema("integer", "windows that were computed since the start of the server"),
            "waiting_windows": schema(
                "integer", "windows that requests and jobs still need, estimated before they are decoded"
            ),
            "milliseconds_per_window": schema("number", "mean of the last windows"),
            "replaced": schema("integer", "processes that were replaced after a crash or a kill from outside"),
        }
    ),
    "Readiness": record(
        {
            "status": schema("string", enum=["ready", "not ready"]),
            "model": schema("string", "fingerprint"),
            "processes": schema("integer", "compute processes that gave the stored answer for the example clip"),
            "wanted_processes": schema("integer"),
            "waiting_requests": schema("integer"),
            "running": schema("integer"),
            "shadow": schema(["string", "null"], "fingerprint of the shadow bundle"),
            "embedding": {
                "description": "the process that computes the backbone; null if the bundle has none",
                "anyOf": [ref("Embedding"), {"type": "null"}],
            },
            "swap_error": schema("string", "why a changed bundle is not used, or empty"),
        }
    ),
}
"""All schemas, by name."""
