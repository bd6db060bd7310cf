"""Schemas of the answers about a review in the OpenAPI document."""

from autobird.review.queues import QUEUES
from autobird.serving.openapi_schemas import (
    NUMBER_OR_NULL,
    PROBABILITY,
    SECONDS,
    TEXT,
    Schema,
    array,
    by_name,
    record,
    schema,
)
from autobird.serving.review.options import MAX_NAME

_COUNT = schema("integer", minimum=0)
NAME = schema("string", "name of the reviewer", minLength=1, maxLength=MAX_NAME)
ANSWER = schema(
    "string",
    "`yes`: the species is heard; `no`: it is not, and nothing is said about others; `other`: another species is heard instead; "
    "`unsure` and `skip`: no opinion",
    enum=["yes", "no", "other", "unsure", "skip"],
)
_STORED = schema(["string", "null"], "the reviewer's own decision", enum=["yes", "no", "other", "unsure", "skip", None])
_ESTIMATE = record({"value": NUMBER_OR_NULL, "low": NUMBER_OR_NULL, "high": NUMBER_OR_NULL}, "null: not known")

_ABOVE = {
    "threshold": NUMBER_OR_NULL,
    "detections": schema("integer", "windows whose probability reaches the threshold", minimum=0),
    "reviewed": _COUNT,
    "precision": _ESTIMATE,
    "recall": _ESTIMATE,
}

SCHEMAS: dict[str, Schema] = {
    "Review": record(
        {
            "model": record({"name": TEXT, "fingerprint": TEXT}),
            "recordings": _COUNT,
            "skipped": _COUNT,
            "seconds": SECONDS,
            "candidates": _COUNT,
            "floor": PROBABILITY,
            "species": array(record({"species": TEXT, "common_name": schema(["string", "null"])})),
            "sites": array(TEXT),
            "has_times": schema("boolean", "whether the time of day of a recording is known"),
            "queues": array(schema("string", enum=list(QUEUES))),
            "default": record(
                {
                    "queue": schema("string", enum=list(QUEUES)),
                    "count": _COUNT,
                    "seed": _COUNT,
                    "species": array(TEXT),
                    "site": array(TEXT),
                    "hours": TEXT,
                    "min_probability": PROBABILITY,
                },
                "what the parameters of a queue are if they are not given",
            ),
        }
    ),
    "ReviewItem": record(
        {
            "id": TEXT,
            "number": schema("integer", "place in the queue, from 1", minimum=1),
            "file": schema("string", "path below the folder of the recordings"),
            "duration": SECONDS,
            "start": SECONDS,
            "end": SECONDS,
            "species": TEXT,
            "probability": PROBABILITY,
            "threshold": NUMBER_OR_NULL,
            "stratum": schema("string", "how the item was chosen"),
            "unknown_score": NUMBER_OR_NULL,
            "similarity": NUMBER_OR_NULL,
            "site": TEXT,
            "recorded_at": schema("string", "local time of the start of the window, ISO 8601; empty if unknown"),
            "others": array(
                record({"species": TEXT, "probability": PROBABILITY}), "other possible species of the window"
            ),
            "decision": _STORED,
            "other_species": TEXT,
        }
    ),
    "ReviewProgress": record(
        {
            "items": _COUNT,
            "decided": schema("integer", "by the reviewer", minimum=0),
            "decided_by_anyone": _COUNT,
            "by_decision": by_name(_COUNT),
            "by_stratum": array(record({"stratum": TEXT, "decided": _COUNT, "items": _COUNT})),
            "reviewers": array(record({"reviewer": TEXT, "decisions": _COUNT})),
            "disagree": schema("integer", "items about which reviewers disagree, in all queues", minimum=0),
        }
    ),
    "ReviewDecision": record(
        {
            "file": TEXT,
            "start": SECONDS,
            "end": SECONDS,
            "species": TEXT,
            "decision": ANSWER,
            "other_species": TEXT,
            "reviewer": TEXT,
            "time": schema("string", "ISO 8601, UTC", format="date-time"),
            "model": TEXT,
            "stratum": TEXT,
            "probability": PROBABILITY,
            "sampling_probability": NUMBER_OR_NULL,
        },
        "a row of reviews.csv",
    ),
    "ReviewSummary": record(
        {
            "reviewed": schema("integer", "items with a clear answer that were drawn at random", minimum=0),
            "candidates": _COUNT,
            "sessions": _COUNT,
            "reviewers": _COUNT,
            "unknown": schema("integer", "items without a clear answer", minimum=0),
            "disagree": _COUNT,
            "not_random": schema("integer", "items of other queues; they do not count here", minimum=0),
            "floor": PROBABILITY,
            "confidence": PROBABILITY,
            "strata": array(
                record(
                    {
                        "low": PROBABILITY,
                        "high": PROBABILITY,
                        "candidates": _COUNT,
                        "reviewed": _COUNT,
                        "present": _COUNT,
                        "share": _ESTIMATE,
                    }
                )
            ),
            "species": array(record({"species": TEXT, "items": _COUNT, **_ABOVE}), "at the thresholds in use"),
            "thresholds": array(record(_ABOVE), "all species together, one threshold"),
            "wanted": record({"precision": PROBABILITY, "by_lower_bound": schema("boolean"), "within": PROBABILITY}),
            "chosen": array(
                record({"species": TEXT, "reached": schema("boolean"), **_ABOVE}), "thresholds for the wanted precision"
            ),
            "remaining": array(
                record(
                    {
                        "threshold": PROBABILITY,
                        "text": TEXT,
                        "is_enough": schema("boolean"),
                        "more": array(record({"low": PROBABILITY, "high": PROBABILITY, "items": _COUNT})),
                    }
                ),
                "how many more items bring the precision at a threshold to within the wanted distance",
            ),
        }
    ),
}
