"""Make the starter's weights and the judge's again, from nothing but the kit's own drawings.

    python benchmarks/starter/train.py --out runs/starter [--small] [--only STAGE]

Every stage leaves a file in the folder, and a stage whose file is there is not done again:

    pictures   drawn by all processors                                   pictures/*.npz
    vae        the VAE                                                   vae.safetensors
    judge      the judge                                                 judge.safetensors
    words      both text encoders                                        text_encoder*.safetensors
    latents    what the VAE makes of the pictures                        latents.safetensors
    denoiser   the transformer; stopped, it goes on later                undistilled.safetensors
    guidance   guidance distilled into it                                transformer.safetensors

The seconds that each may take are settings; the defaults are for two processor cores. `--small`
goes through all of it in a minute or two, to no effect.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import autoencoder
import denoiser
import guidance
import judging
import pictures
import torch
import wording
from clock import Clock, Log
from denoiser import Captions, Course, Latents
from PIL import Image

from bioicons_kit import tensors
from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.families import starter
from bioicons_kit.files import atomic_file

SHIPPED = Path(__file__).parents[2] / "bioicons_kit" / "icons" / "shipped"
STAGES = ("pictures", "vae", "judge", "words", "latents", "denoiser", "guidance")
_COOLING = 0.3  # share of the denoiser's time in which its learning rate falls


def arguments() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=STAGES, help="this stage alone; others must be done")
    for name, seconds in (
        ("vae", 1000.0),
        ("judge", 900.0),
        ("words", 120.0),
        ("denoiser", 4200.0),
        ("guidance", 700.0),
    ):
        parser.add_argument(f"--{name}-seconds", type=float, default=seconds)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--vae-batch", type=int, default=32)
    parser.add_argument("--judge-batch", type=int, default=256)
    parser.add_argument("--held", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--look-every", type=float, default=600.0, help="seconds")
    parser.add_argument("--steady", action="store_true", help="do not cool down: to go on later")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--small", action="store_true", help="every part, for a few steps")
    chosen = parser.parse_args()
    if chosen.small:
        chosen.vae_seconds = chosen.judge_seconds = chosen.words_seconds = 3.0
        chosen.denoiser_seconds = chosen.guidance_seconds = 3.0
        chosen.pictures, chosen.held, chosen.compile = 400, 200, False
        chosen.batch, chosen.vae_batch, chosen.judge_batch = 8, 16, 16
    return chosen


class Work:
    """The folder of what is made, the settings, and what earlier stages left."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.out = chosen, chosen.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.log, self.parts = Log(self.out / "log.json"), starter.components()

    def path(self, name: str) -> Path:
        """Return the file of a network."""
        return Path(self.out / f"{name}.safetensors")

    def write(self, name: str, weights: dict[str, torch.Tensor]) -> None:
        """Write a network's weights, float32."""
        tensors.write(
            self.path(name), {k: v.detach().clone().contiguous() for k, v in weights.items()}, {}
        )

    def network(self, name: str, network: Any) -> Any:
        """Return a network with the weights that its stage left, frozen."""
        network.load_state_dict(tensors.read(self.path(name))[0])
        return network.to(self.device).eval().requires_grad_(False)

    def banks(self) -> dict[str, pictures.Bank]:
        """Return the pictures."""
        return pictures.load(self.out / "pictures", self.device)

    def words(self) -> wording.Words:
        """Return the trained text encoders."""
        words = wording.Words(self.parts, self.device)
        self.network("text_encoder", words.clip)
        self.network("text_encoder_2", words.t5)
        return words

    def latents(self) -> Latents:
        """Return the pictures' latents."""
        kept, _ = tensors.read(self.path("latents"))
        moved = {name: value.to(self.device) for name, value in kept.items()}
        vae = starter.VAE
        return Latents(**moved, shift=vae["shift_factor"], factor=vae["scaling_factor"])


def make_pictures(work: Work) -> None:
    """Draw."""
    count = work.chosen.pictures
    counts = {"plain": count, "held": work.chosen.held, "flat": count // 6, "abstract": count // 10}
    pictures.make(work.out / "pictures", counts, work.chosen.workers, work.log)


def make_vae(work: Work) -> None:
    """Train the VAE."""
    vae, chosen = work.parts["vae"]().to(work.device), work.chosen
    clock = Clock(chosen.vae_seconds)
    autoencoder.train(vae, work.banks(), clock, work.log, chosen.vae_batch)
    work.write("vae", vae.state_dict())


def make_judge(work: Work) -> None:
    """Train the judge."""
    clock = Clock(work.chosen.judge_seconds)
    network = judging.train(work.banks(), SHIPPED, clock, work.log, work.chosen.judge_batch)
    work.write("judge", network.state_dict())


def make_words(work: Work) -> None:
    """Train the text encoders."""
    words = wording.Words(work.parts, work.device)
    wording.train(words, Clock(work.chosen.words_seconds), work.log)
    work.write("text_encoder", words.clip.state_dict())
    work.write("text_encoder_2", words.t5.state_dict())


def make_latents(work: Work) -> None:
    """Encode the pictures."""
    bank = work.banks()["plain"]
    mean, logvar = autoencoder.encode(work.network("vae", work.parts["vae"]()), bank.pixels)
    spread = (logvar.float() / 2).exp().mean()
    work.log("latents", mean=mean.float().mean(), std=mean.float().std(), noise=spread)
    kept = {"mean": mean, "logvar": logvar, "subjects": bank.subjects, "styles": bank.styles}
    work.write("latents", kept)


def make_denoiser(work: Work) -> None:
    """Train the transformer, looking at its pictures now and then."""
    chosen, log = work.chosen, work.log
    network = work.parts["transformer"]().to(work.device)
    denoiser.begin(network)
    course = Course(network, chosen.compile)
    state = work.out / "state.pt"
    if state.exists():
        course.load(torch.load(state, map_location=work.device, weights_only=True))
        log("denoiser", step=course.steps, resumed=True)
    latents, captions = work.latents(), Captions(work.words())
    rng = random.Random(course.steps)
    torch.manual_seed(course.steps)
    denoiser.train_step(course, latents, captions, 0.0, chosen.batch, rng)  # compiles
    clock, losses, looked = Clock(chosen.denoiser_seconds), [], time.monotonic()
    while clock.passed() < 1:
        share = 1.0 if chosen.steady else min(1.0, (1 - clock.passed()) / _COOLING)
        if share == 1.0 and clock.steps % 300 == 299:
            save(state, course)
        losses.append(denoiser.train_step(course, latents, captions, share, chosen.batch, rng))
        clock.steps += 1
        if clock.steps % 100 == 0:
            log(
                "denoiser",
                step=course.steps,
                pictures=course.pictures,
                loss=torch.stack(losses[-100:]).mean(),
            )
        if time.monotonic() - looked > chosen.look_every:
            look(work, course.averaged(), captions, f"at {course.steps}", 2.75)
            looked = time.monotonic()
    if chosen.steady:
        save(state, course)
    average = course.averaged()
    work.write("undistilled", average.state_dict())
    look(work, average, captions, "undistilled", 2.75)
    log("denoiser", step=course.steps, pictures=course.pictures, done=True)


def make_guidance(work: Work) -> None:
    """Distill guidance into the transformer."""
    chosen, log = work.chosen, work.log
    teacher = work.network("undistilled", work.parts["transformer"]())
    student = work.network("undistilled", work.parts["transformer"]()).requires_grad_(True)
    teacher.to(torch.bfloat16)
    if chosen.compile:
        teacher.compile_repeated_blocks(dynamic=False)
    course = Course(student, chosen.compile, peak=5e-4, decay=0.99)
    latents, captions = work.latents(), Captions(work.words())
    torch.manual_seed(0)
    guidance.distill_step(course, teacher, latents, captions, 0.0, chosen.batch)  # compiles
    clock, losses = Clock(chosen.guidance_seconds), []
    while clock.passed() < 1:
        share = min(1.0, (1 - clock.passed()) / 0.6)
        losses.append(
            guidance.distill_step(course, teacher, latents, captions, share, chosen.batch)
        )
        clock.steps += 1
        if clock.steps % 100 == 0:
            log("guidance", step=course.steps, loss=torch.stack(losses[-100:]).mean())
    average = course.averaged()
    work.write("transformer", average.state_dict())
    for strength in (2.5, 3.5):
        look(work, average, captions, f"guidance {strength}", None, strength)
    log("guidance", step=course.steps, pictures=course.pictures, done=True)


MAKE = {
    "pictures": (make_pictures, "pictures/abstract.npz"),
    "vae": (make_vae, "vae.safetensors"),
    "judge": (make_judge, "judge.safetensors"),
    "words": (make_words, "text_encoder_2.safetensors"),
    "latents": (make_latents, "latents.safetensors"),
    "denoiser": (make_denoiser, "undistilled.safetensors"),
    "guidance": (make_guidance, "transformer.safetensors"),
}


def save(path: Path, course: Course) -> None:
    """Write what going on needs, whole or not at all."""
    with atomic_file(path) as file:
        torch.save(course.state(), file)


def look(
    work: Work,
    network: Any,
    captions: Captions,
    name: str,
    free: float | None,
    strength: float = 3.5,
) -> None:
    """Draw every subject, the styles in turn; have the judge look; keep a sheet."""
    count = 8 if work.chosen.small else len(generate.NAMES)
    asked = [(subject, subject % len(generate.STYLE_NAMES)) for subject in range(count)]
    words = work.words()
    text = words.encoded([generate.prompt(*each) for each in asked], wording.TOKENS)
    drawn = denoiser.sample(network, text, captions.none(count), 16, strength, 0, free)
    vae = work.network("vae", work.parts["vae"]())
    scaled = drawn / vae.config.scaling_factor + vae.config.shift_factor
    with torch.no_grad():
        found = torch.cat([vae.decode(part).sample.clamp(-1, 1) for part in scaled.split(40)])
        which, how = work.network("judge", judge.Network())(found)
    wanted = torch.tensor(asked, device=which.device)
    work.log(
        "judged",
        name=name,
        subject=(which.argmax(1) == wanted[:, 0]).float().mean(),
        style=(how.argmax(1) == wanted[:, 1]).float().mean(),
    )
    pixels = ((found + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    shown = pictures.grid([Image.fromarray(each) for each in pixels])
    shown.save(work.out / f"sheet-{name.replace(' ', '-')}.png")


def main() -> None:
    """Go through the stages whose files are not there yet."""
    chosen = arguments()
    work = Work(chosen)
    torch.set_float32_matmul_precision("high")
    # see `flux_memory.set_attention`: on an H200 cuDNN's attention ended this training
    torch.backends.cuda.enable_cudnn_sdp(False)
    settings = {key: str(value) for key, value in vars(chosen).items() if key != "out"}
    work.log("start", device=str(work.device), torch=torch.__version__, settings=settings)
    for stage, (make, result) in MAKE.items():
        if chosen.only in (None, stage) and not (work.out / result).exists():
            torch.manual_seed(0)
            make(work)
    work.log("end")


if __name__ == "__main__":
    sys.exit(main())
