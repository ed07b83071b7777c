"""What a run was and what was measured: one JSON a run. Reading validates: an unknown or missing field is an error."""

import json
import os
import platform
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import RunError
from ..files import crc32
from ..metrics.result import MetricResult
from ..models import MODELS


def is_name(text: str) -> bool:
    """Whether a file or folder may be called so: no path, nothing hidden, nothing unprintable."""
    return 0 < len(text) <= 100 and text.isprintable() and text[0] != "." and not set(text) & set("/\\:")


def checksum(path) -> int:
    """The CRC-32 of a file; a text's whatever its line ends, which version control may change."""
    if Path(path).suffix == ".csv":
        return zlib.crc32(Path(path).read_bytes().replace(b"\r\n", b"\n"))
    return crc32(path)


def _completed(kind: str, identity: dict) -> dict:
    from ..models.variations import completed

    if kind == "baseline":
        return identity
    return json.loads(json.dumps(identity | {"configuration": completed(kind, identity.get("configuration", {}))}))


def _crc32(fields: dict) -> int:
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(_Strict):
    """Where the images came from, how many, and the sha256 of the file they were read from."""

    source: str
    n_train: int = Field(ge=1)
    n_test: int = Field(ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Environment(_Strict):
    """Software versions and hardware in words."""

    backend: str
    backend_version: str
    keras: str
    numpy: str
    python: str
    hardware: str


class Record(_Strict):
    """One training run, or one baseline. `seconds_per_epoch` is the median over epochs, on `environment.hardware`.

    A baseline has no epochs, and None for what belongs to training by gradients. `files` are the checksums of what
    lies beside the record (`checksum`), as far as it is finished; older records have none.
    """

    schema_version: Literal[1, 2] = 2  # 2: the configuration holds the optimizers' arguments under "compile"
    model: str
    variation: str
    configuration: dict[str, dict]
    loss: str
    parameters: dict[str, int]
    seed: int = Field(ge=0, lt=2**32)
    epochs: int = Field(ge=0)
    epochs_done: int = Field(ge=0)
    batch_size: int | None = Field(ge=1)
    learning_rate: float | None = Field(gt=0)
    precision: str
    data: DataSource
    environment: Environment
    seconds_per_epoch: float | None = Field(ge=0, allow_inf_nan=False)
    metrics: list[MetricResult]
    files: dict[str, int] = {}

    @field_validator("model")
    @classmethod
    def _known(cls, model):
        if model not in (*MODELS, "baseline"):
            raise ValueError(f"must be one of {', '.join(MODELS)}, baseline")
        return model

    @field_validator("variation")
    @classmethod
    def _a_name(cls, variation):
        if not is_name(variation):
            raise ValueError("must be a name, no path")
        return variation

    @classmethod
    def read(cls, path) -> "Record":
        """Read `record.json`, or the one in a run folder.

        Raises:
          RunError: it is missing, no JSON, its fields are not those of a record, or not those that were written.
        """
        path = Path(path)
        path = path / "record.json" if path.is_dir() or path.suffix != ".json" else path
        try:
            fields = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(fields, dict):
                raise ValueError("it holds no fields")
            missing = {"schema_version"} - set(fields)  # it has a default
            if missing:
                raise ValueError("schema_version: Field required")
            told = fields.pop("crc32", None)  # an older record has none
            record = cls.model_validate(fields)
            if told not in (None, _crc32(fields)):
                raise ValueError("its checksum is not that of its fields")
            return record
        except FileNotFoundError as error:
            raise RunError(f"{path} is not there: name a run folder that 'ganvae train' wrote") from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise RunError(f"{path} is not a valid record ({faults}): restore it, or train the run again") from error
        except (ValueError, OSError, RecursionError) as error:
            raise RunError(
                f"{path} cannot be read as a record ({error}): restore it, or train the run again"
            ) from error

    def to_json(self) -> str:
        """The file's text: the fields, and a checksum of them."""
        fields = json.loads(self.model_dump_json())
        return json.dumps(fields | {"crc32": _crc32(fields)}, indent=2, ensure_ascii=False) + "\n"

    def with_files(self, folder, *names: str) -> "Record":
        """The same record, with the checksums of those of the files in `folder` that are there."""
        paths = [Path(folder) / name for name in names]
        return self.model_copy(update={"files": {path.name: checksum(path) for path in paths if path.is_file()}})

    def check(self, path) -> None:
        """RunError where a file beside the record is not the one that was there when the record was finished."""
        path = Path(path)
        if path.name in self.files and path.is_file() and checksum(path) != self.files[path.name]:
            raise RunError(f"{path} is not the file its record was written with: restore it, or publish the run again")

    def metric(self, name: str) -> MetricResult | None:
        """The metric of that name, or None where it was not measured."""
        return next((m for m in self.metrics if m.name == name), None)

    @property
    def identity(self) -> dict:
        """What makes this run that run: its name, batch size, arithmetic, data and configuration."""
        told = {"batch_size": self.batch_size, "precision": self.precision, "n_train": self.data.n_train}
        return {"name": self.name, **told, "sha256": self.data.sha256, "configuration": self.configuration}

    def is_of(self, told) -> bool:
        """Whether `told`, an `identity` that was written with weights, is this run's.

        What models could not be asked when it was written is taken to be as by default; so is what was not said.
        """
        if not isinstance(told, dict):  # an older version said nothing, or its name and a hash
            return told is None or str(told).split(" ")[0] == self.name
        try:
            told = _completed(self.model, told)
        except (ValueError, TypeError, AttributeError):  # no run's, or a later version's with what cannot be asked here
            return False
        return told == _completed(self.model, self.identity)

    @property
    def name(self) -> str:
        return f"{self.model}-{self.variation}-seed{self.seed}"


def check_run(path: Path, told, record: Record) -> None:
    """RunError where a file that says it is of the run `told` was copied in from another; an older one says nothing."""
    if not record.is_of(told):
        name = told.get("name") if isinstance(told, dict) else str(told).split(" ")[0]
        raise RunError(f"{path} is of another run, {name}: put its own back")


def environment(backend: str, accelerator: str = "") -> Environment:
    """The software and hardware of this process, the accelerator first where it computes on one."""
    package = {"tensorflow": "tensorflow", "jax": "jax"}[backend]
    return Environment(
        backend=backend, backend_version=version(package), keras=version("keras"), numpy=version("numpy"),
        python=platform.python_version(), hardware=f"{accelerator + '; ' if accelerator else ''}{hardware_in_words()}",
    )  # fmt: skip


# Widest first. Clouds give processors of several generations one name; in bfloat16 they differ several times in speed.
VECTORS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 and bfloat16", "avx512f": "AVX-512", "avx2": "AVX2"}
WITHOUT_BFLOAT16 = ("AVX-512", "AVX2")


def vectors() -> str:
    """The processor's widest vector instructions, of `VECTORS`; '' where they are not known."""
    flags = _cpuinfo().get("flags", "").split()
    return next((words for flag, words in VECTORS.items() if flag in flags), "")


def _cpuinfo() -> dict[str, str]:
    """Linux' description of a core; {} elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def hardware_in_words() -> str:
    """Processor, its widest instructions, cores, memory; no host name, no path."""
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    name += f" with {vectors()}" if vectors() else ""
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    # The cores this process may use: a run pinned to one of two took the time of one.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'s' * (cores != 1)}{memory}"
