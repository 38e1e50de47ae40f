"""Time a training step of the kit, and of a plain loop over diffusers and peft, side by side.

    python benchmarks/step_time.py --build MODEL_FOLDER IMAGE_FOLDER
    python benchmarks/step_time.py MODEL_FOLDER IMAGE_FOLDER [--steps 30]

The first makes a FLUX of 70 M random weights (hidden 512, 4 + 8 blocks) in diffusers' layout, and a
folder of pictures; any other model and pictures do as well. Batch 1, bf16, gradient checkpointing,
LoRA on attention, latents and texts cached, one thread unless --threads says otherwise.

The plain loop is what a LoRA script written over the libraries does: FluxTransformer2DModel, peft's
LoRA in float32 on a bf16 base, accelerate's bf16 autocast, cached latents, AdamW, gradients
clipped. The kit trains as `python -m bioicons_kit.train` does, logs and all.

Each way is a process, and they take turns step by step. A step is what lies between two calls of
the optimizer, whoever calls it, so reading, logging and drawing noise count. The first steps are
left out. Printed are medians, by the clock and by the processor's time (where other work shares
the machine, the second says more), and ratios to the plain loop.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

SIDE = 256
WARM_UP = 3  # steps of each process that are left out
TRIGGER = "bioicon style"
FLUX = {  # 70 M parameters: hidden 4 x 128, blocks 4 + 8
    "in_channels": 64,
    "num_layers": 4,
    "num_single_layers": 8,
    "attention_head_dim": 128,
    "num_attention_heads": 4,
    "joint_attention_dim": 128,
    "pooled_projection_dim": 128,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
ATTENTION = (
    *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
    *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
)
PRESET = """
[model]
path = {model}
max_sequence_length = {tokens}
[dataset]
source = "images"
root = {images}
resolution = {side}
trigger = "bioicon style"
caption = "{{trigger}}, a picture"
[dataset.quality]
min_side = 1
[[dataset.buckets]]
license = "CC0-1.0"
[lora]
rank = {rank}
[memory]
quantization = {quantization}
checkpointing = "full"
dtype = {dtype}
[cache]
root = {cache}
[train]
steps = {steps}
learning_rate = 1e-4
"""
WAYS = {  # name: quantization of the kit's base weights; None is the plain loop
    "plain": None,
    "kit, weights as they are": "none",
    "kit, qfloat8": "qfloat8",
}


def build(model: Path, images: Path) -> None:
    """Make the model's folder, and one of pictures out of the icons that come with the kit."""
    from diffusers import FluxTransformer2DModel

    from bioicons_kit.families import starter
    from bioicons_kit.icons import library
    from bioicons_kit.icons.picture import Recipe, make
    from bioicons_kit.preset import SHIPPED

    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(starter.ensure(Path(scratch)), model)
    shutil.rmtree(model / "transformer")
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(**FLUX).to(torch.bfloat16)
    transformer.save_pretrained(model / "transformer")
    parameters = sum(p.numel() for p in transformer.parameters())
    images.mkdir(parents=True)
    icons = library.scan(SHIPPED).icons
    for icon in icons:
        drawn = make(icon.path.read_bytes(), "svg", Recipe(SIDE, SIDE, 0.05, "auto")).image
        drawn.save(images / f"{icon.name}.png")
    print(f"{model}: {parameters / 1e6:.1f} M parameters; {images}: {len(icons)} pictures")


def intake(images: Path, folder: Path) -> None:
    """Copy the pictures below `images`, scaled to `SIDE`, with a license that the kit can read."""
    from bioicons_kit.icons.pictures.images import SUFFIXES

    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{images}: no pictures")
    folder.mkdir()
    for number, path in enumerate(found):
        with Image.open(path) as image:
            image.convert("RGB").resize((SIDE, SIDE)).save(folder / f"{number:04}.png")
    (folder / "licenses.toml").write_text('license = "CC0-1.0"\n')


def take_turns(done: Connection) -> None:
    """Tell each step's seconds, of the clock and of the processor, and wait for one's turn.

    A step ends where an optimizer has taken one, whoever called it.
    """
    began: list[tuple[float, float]] = []

    def ended(*_: object) -> None:
        now = time.perf_counter(), time.process_time()
        done.send([after - before for after, before in zip(now, began or now, strict=True)])
        done.recv()
        began[:] = time.perf_counter(), time.process_time()

    register_optimizer_step_post_hook(ended)


def kit(options: argparse.Namespace, folder: Path, quantization: str) -> None:
    """Train with the kit, from the cache that earlier calls have filled."""
    from bioicons_kit import preset_file
    from bioicons_kit.train.run import run

    values = {
        "model": str(options.model),
        "images": str(folder / "images"),
        "cache": str(folder / "cache"),
        "quantization": quantization,
        "dtype": options.dtype,
    }
    numbers = {key: getattr(options, key) for key in ("tokens", "rank")}
    text = PRESET.format(
        **{key: json.dumps(value) for key, value in values.items()},
        **numbers,
        side=SIDE,
        steps=options.steps + WARM_UP,
    )
    path = folder / "preset.toml"
    path.write_text(text)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        run(preset_file.load(path, []), Path(root) / "run")


def plain(options: argparse.Namespace, folder: Path) -> None:
    """Train in a plain loop over diffusers, peft and accelerate."""
    from accelerate import Accelerator
    from diffusers import FluxTransformer2DModel
    from peft import LoraConfig
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(0)
    latents, text = encoded(options, folder / "images")
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16")
    flux = FluxTransformer2DModel.from_pretrained(
        options.model, subfolder="transformer", dtype=torch.bfloat16
    )
    flux.requires_grad_(False)
    flux.to(accelerator.device)
    flux.enable_gradient_checkpointing()
    flux.add_adapter(
        LoraConfig(
            r=options.rank,
            lora_alpha=options.rank,
            init_lora_weights="gaussian",
            target_modules=list(ATTENTION),
        )
    )
    trained = [p for p in flux.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=1e-4)
    loader = torch.utils.data.DataLoader(latents, batch_size=1, shuffle=True)
    flux, optimizer, loader = accelerator.prepare(flux, optimizer, loader)
    flux.train()
    with tempfile.TemporaryDirectory() as logs, SummaryWriter(logs) as writer:
        endless = itertools.chain.from_iterable(itertools.repeat(loader))
        for step, clean in enumerate(itertools.islice(endless, options.steps + WARM_UP)):
            with accelerator.accumulate(flux):
                loss = plain_loss(flux, clean, text)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad()
            writer.add_scalar("loss", loss.detach().item(), step)


def encoded(options: argparse.Namespace, images: Path) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the pictures' latents `[pictures, 1...]`, and one caption's embeddings, bf16."""
    from diffusers import FluxPipeline
    from diffusers.image_processor import VaeImageProcessor

    pipeline = FluxPipeline.from_pretrained(options.model, transformer=None, dtype=torch.float32)
    vae, processor = pipeline.vae, VaeImageProcessor(vae_scale_factor=8)
    with torch.no_grad():
        states, pooled, ids = pipeline.encode_prompt(
            f"{TRIGGER}, a picture", None, max_sequence_length=options.tokens
        )
        latents = []
        for path in sorted(images.glob("*.png")):
            with Image.open(path) as image:
                latent = vae.encode(processor.preprocess(image)).latent_dist.sample()
            latents.append((latent[0] - vae.config.shift_factor) * vae.config.scaling_factor)
    text = {"encoder_hidden_states": states, "pooled_projections": pooled, "txt_ids": ids}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text = {name: tensor.to(device, torch.bfloat16) for name, tensor in text.items()}
    return torch.stack(latents).to(torch.bfloat16), text


def plain_loss(flux: Any, clean: Tensor, text: dict[str, Tensor]) -> Tensor:
    """Return the flow-matching loss of a batch of latents `[1, 16, height, width]`."""
    from diffusers import FluxPipeline

    batch, channels, height, width = clean.shape
    noise = torch.randn_like(clean)
    level = torch.sigmoid(torch.randn(batch, device=clean.device))
    share = level.to(clean.dtype).reshape(-1, 1, 1, 1)
    noisy = (1 - share) * clean + share * noise
    velocity = flux(
        hidden_states=FluxPipeline._pack_latents(noisy, batch, channels, height, width),
        timestep=level,
        guidance=torch.ones(batch, device=clean.device),
        img_ids=FluxPipeline._prepare_latent_image_ids(
            batch, height // 2, width // 2, clean.device, clean.dtype
        ),
        **text,
        return_dict=False,
    )[0]
    velocity = FluxPipeline._unpack_latents(velocity, height * 8, width * 8, 8)
    return torch.nn.functional.mse_loss(velocity.float(), (noise - clean).float())


def work(options: argparse.Namespace, way: str, folder: Path, done: Connection) -> None:
    """Take steps one way, in a process of its own."""
    said = os.open(folder / f"{way}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    torch.set_num_threads(options.threads)
    take_turns(done)
    quantization = WAYS[way]
    if quantization is None:
        plain(options, folder)
    else:
        kit(options, folder, quantization)


def main() -> None:
    """Build what is to be measured, or measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--build", action="store_true", help="make both folders, and stop")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=77, help="length of the texts")
    parser.add_argument("--dtype", default="bf16", help="what the kit computes in")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    if options.build:
        build(options.model, options.images)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Have all ways take steps in turn, and print the table."""
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[list[float]]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory() as name:
        intake(options.images, Path(name) / "images")
        turns: dict[str, Connection] = {}
        for way in options.ways:  # one after the other: they share a cache
            turns[way], other = context.Pipe()
            context.Process(target=work, args=(options, way, Path(name), other)).start()
            other.close()
            answer(turns[way], way, Path(name))
        for step in range(1, options.steps + WARM_UP):
            for way, turn in turns.items():
                turn.send("go")
                seconds = answer(turn, way, Path(name))
                if step >= WARM_UP:
                    found[way].append(seconds)
        for turn in turns.values():
            turn.send("go")
        for process in multiprocessing.active_children():
            process.join()
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}; {options.threads} thread(s), {options.tokens} tokens")
    print("| way | s/step, median (fastest) | to plain | processor, s | to plain |")
    print("|---|---|---|---|---|")
    medians = {
        way: list(map(statistics.median, zip(*each, strict=True))) for way, each in found.items()
    }
    for way, (clock, processor) in medians.items():
        base, fastest = medians[options.ways[0]], min(found[way])[0]
        print(f"| {way} | {clock:.3f} ({fastest:.3f}) | {clock / base[0]:.2f}", end=" | ")
        print(f"{processor:.3f} | {processor / base[1]:.2f} |")


def answer(turn: Connection, way: str, folder: Path) -> list[float]:
    """Return what a process tells; where it has ended, say what it said, and end, too."""
    try:
        seconds: list[float] = turn.recv()
    except EOFError:
        print((folder / f"{way}.log").read_text(), file=sys.stderr)
        for process in multiprocessing.active_children():
            process.terminate()
        raise SystemExit(f"'{way}' failed") from None
    return seconds


if __name__ == "__main__":
    main()
