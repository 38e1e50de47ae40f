"""Make the starter's weights and the judge's again, from nothing but the kit's own drawings.

    python benchmarks/starter/train.py --out runs/starter [--small]

One big GPU and sixteen processors take seven minutes with the settings below (log.json beside
this file is what they printed); a CPU takes as long as it is given, and `--small` shows in a
minute that every part runs. What each part does is said in its own module:

    pictures     drawn by all processors, while the first part runs
    autoencoder  the VAE
    judging      the judge
    denoiser     the transformer with both text encoders, then guidance distilled into it

Every part is bounded by the clock, and what it made is written before the next begins.
"""

import argparse
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import autoencoder
import denoiser
import judging
import torch
from clock import Clock, Log
from denoiser import Latents, Model
from pictures import Studio
from PIL import Image

from bioicons_kit import tensors
from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.families import starter

SHIPPED = Path(__file__).parents[2] / "bioicons_kit" / "icons" / "shipped"
_LAST_SECONDS = 18  # for writing and looking, besides training
_LARGEST = 14 * 2**20  # bytes of a file that is written; there are as many as it takes


def arguments() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vae-seconds", type=float, default=95)
    parser.add_argument("--judge-seconds", type=float, default=25)
    parser.add_argument("--denoiser-seconds", type=float, default=200)
    parser.add_argument("--distill-seconds", type=float, default=55)
    parser.add_argument(
        "--until", type=float, help="seconds from the start; the denoiser's part fits"
    )
    parser.add_argument("--pictures", type=int, default=110_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--vae-batch", type=int, default=192)
    parser.add_argument("--judge-batch", type=int, default=768)
    parser.add_argument("--only-judge", action="store_true")
    parser.add_argument("--held", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=15)
    parser.add_argument("--rehearse", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--between", help="a command to run before training, while drawing goes on")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--small", action="store_true", help="every part, for a few steps")
    chosen = parser.parse_args()
    if chosen.small:
        chosen.vae_seconds = chosen.judge_seconds = chosen.distill_seconds = 3.0
        chosen.denoiser_seconds, chosen.pictures, chosen.workers = 3.0, 400, 2
        chosen.batch, chosen.vae_batch, chosen.compile = 8, 4, False
        chosen.judge_batch, chosen.held = 12, 200
    return chosen


def main() -> None:
    """Rehearse every part for a few steps, while drawing begins; then do it all in earnest."""
    chosen = arguments()
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = Log(chosen.out / "log.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extra = chosen.pictures // 8
    counts = {"plain": chosen.pictures, "flat": extra, "abstract": extra, "held": chosen.held}
    studio = Studio(counts, chosen.workers, device)  # before CUDA: it does not survive a fork
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    # see `flux_memory.set_attention`: on an H200 they ended this training, too
    torch.backends.cuda.enable_cudnn_sdp(False)
    studio.open()
    settings = {key: str(value) for key, value in vars(chosen).items() if key != "out"}
    log("start", device=str(device), torch=torch.__version__, settings=settings)
    if chosen.rehearse:
        rehearsal(chosen, studio, log)
    if chosen.only_judge:
        studio.wait_for("held", counts["held"], time.monotonic() + 120)
        examine(chosen, studio, Results(chosen.out, log), log, None)
        studio.close()
        return
    if chosen.between:
        torch.cuda.empty_cache()
        subprocess.run(chosen.between, shell=True, check=False)
        log("between")
    course(chosen, studio, log, None)
    studio.close()
    log("end")


def rehearsal(chosen: argparse.Namespace, studio: Studio, log: Log) -> None:
    """Go through every part for some steps: it compiles what is compiled, and fails early."""
    for kind in studio.banks:
        studio.wait_for(kind, 200, time.monotonic() + 60)
    try:
        course(chosen, studio, log, 4)
    except Exception:
        if not chosen.compile:
            raise
        log("failed", trace=traceback.format_exc()[-2500:])
        chosen.compile = False
        torch.compiler.reset()
        course(chosen, studio, log, 4)
    log("rehearsed", compiled=chosen.compile)


def course(chosen: argparse.Namespace, studio: Studio, log: Log, steps: int | None) -> None:
    """Train every part, write it, and look at it; `steps` at most of each, where given."""
    torch.manual_seed(0)
    device, parts = studio.device, starter.components()
    vae, results = parts["vae"]().to(device), Results(chosen.out, log)
    if steps is None:
        studio.wait_for("plain", min(4000, chosen.pictures // 2), time.monotonic() + 60)
    drawn(studio, log)
    autoencoder.train(vae, studio, Clock(chosen.vae_seconds, steps), log, chosen.vae_batch)
    results.write(vae=vae)
    vae.eval().requires_grad_(False)
    if steps is None:
        studio.poll(0.3)
        studio.close()
        drawn(studio, log)
    network = examine(chosen, studio, results, log, steps)

    plain = studio.banks["plain"]
    count = plain.count if steps is None else min(plain.count, 1000)
    mean, logvar = autoencoder.encode(vae, plain.pixels[:count])
    deviation = (logvar.float() / 2).exp().mean()
    log("latents", mean=mean.float().mean(), std=mean.float().std(), noise=deviation)
    model = Model(
        parts["transformer"]().to(device),
        parts["text_encoder"]().to(device),
        parts["text_encoder_2"]().to(device),
        parts["tokenizer"](),
        parts["tokenizer_2"](),
        vae.config.shift_factor,
        vae.config.scaling_factor,
    )
    model.clip.eval()  # without dropout
    model.t5.eval()
    latents = Latents(mean, logvar, plain, model)
    given = chosen.denoiser_seconds
    if chosen.until is not None and steps is None:
        left = chosen.until - log.seconds() - chosen.distill_seconds - _LAST_SECONDS
        given = max(20.0, left)
    clock = Clock(given, steps)
    denoiser.train(model, latents, clock, log, chosen.batch, chosen.compile)
    results.write(transformer=model.denoiser, text_encoder=model.clip, text_encoder_2=model.t5)
    seen = (vae, network, log)
    for free in (None, 2.0, 2.75) if steps is None else ():
        attempt(log, lambda free=free: look(chosen, model, *seen, f"before-{free}", 3.5, free))
    clock = Clock(chosen.distill_seconds, steps)
    denoiser.distill(model, latents, clock, log, chosen.batch)
    results.write(transformer=model.denoiser, text_encoder=model.clip, text_encoder_2=model.t5)
    for guidance in (1.0, 2.5, 3.5) if steps is None else (3.5,):
        attempt(log, lambda g=guidance: look(chosen, model, *seen, f"guidance-{g}", g, None))


def examine(
    chosen: argparse.Namespace, studio: Studio, results: "Results", log: Log, steps: int | None
) -> judge.Network:
    """Train the judge and write it."""
    clock = Clock(chosen.judge_seconds, steps)
    network = judging.train(studio, SHIPPED, clock, log, chosen.judge_batch)
    results.write(torch.float16, judge=network)
    return network


def drawn(studio: Studio, log: Log) -> None:
    """Note how many pictures there are."""
    log("drawn", **{kind: bank.count for kind, bank in studio.banks.items()})


def attempt(log: Log, act: Any) -> Any:
    """Do something the rest does not need; note it if it fails."""
    try:
        return act()
    except Exception:
        log("failed", trace=traceback.format_exc()[-1500:])
        return None


def look(
    chosen: argparse.Namespace,
    model: Model,
    vae: Any,
    network: judge.Network | None,
    log: Log,
    name: str,
    guidance: float,
    free: float | None,
) -> None:
    """Draw every subject in every style, have the judge look, and keep a sheet of some."""
    model.denoiser.eval()
    pairs = [
        (subject, style)
        for subject in range(len(generate.NAMES))
        for style in range(len(generate.STYLE_NAMES))
    ]
    if chosen.small:
        pairs = pairs[:4]
    prompts = [generate.prompt(subject, style) for subject, style in pairs]
    with force_eager():
        drawn = denoiser.sample(model, prompts, 16, guidance, 0, free)
        with torch.no_grad():
            pictures = torch.cat(
                [vae.decode(part).sample.clamp(-1, 1) for part in drawn.split(100)]
            )
    if network is not None:
        with torch.no_grad():
            which, how = network(pictures)
        asked = torch.tensor(pairs, device=which.device)
        log(
            "judged",
            name=name,
            subject=(which.argmax(1) == asked[:, 0]).float().mean(),
            style=(how.argmax(1) == asked[:, 1]).float().mean(),
        )
    sheet(pictures, chosen.out / "sheet.png")
    model.denoiser.train()


def force_eager() -> Any:
    """Return a context in which nothing is compiled anew for another batch size."""
    return torch.compiler.set_stance("force_eager")


def sheet(pictures: torch.Tensor, path: Path, columns: int = 25) -> None:
    """Write pictures in a grid, half size, a file of a few hundred kB."""
    small = torch.nn.functional.interpolate(pictures, (64, 64), mode="area")
    rows = -(-len(small) // columns)
    whole = torch.ones(3, rows * 64, columns * 64)
    for index, picture in enumerate(small.cpu()):
        row, column = divmod(index, columns)
        whole[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64] = picture
    pixels = ((whole + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)


class Results:
    """What has been trained by now, in files `weights-1.safetensors` and on."""

    def __init__(self, out: Path, log: Log) -> None:
        self._out, self._log = out, log
        self._kept: dict[str, torch.Tensor] = {}

    def write(self, dtype: torch.dtype = torch.bfloat16, **networks: torch.nn.Module) -> None:
        """Add networks, under their names, and write everything."""
        for name, network in networks.items():
            for key, value in network.state_dict().items():
                whole = not value.is_floating_point()
                self._kept[f"{name}/{key}"] = (
                    value.detach().cpu().to(value.dtype if whole else dtype)
                )
        pieces: list[dict[str, torch.Tensor]] = [{}]
        for key, value in self._kept.items():
            if sum(v.nbytes for v in pieces[-1].values()) + value.nbytes > _LARGEST:
                pieces.append({})
            pieces[-1][key] = value
        for index, piece in enumerate(pieces):
            tensors.write(self._out / f"weights-{index + 1}.safetensors", piece, {})
        size = sum(value.nbytes for value in self._kept.values())
        self._log("written", networks=", ".join(networks), megabytes=size / 1e6)


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
