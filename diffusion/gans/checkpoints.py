"""Read public weights of StyleGAN2, by the names and shapes of two projects."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from diffusion.gans.stylegan2 import (
    MOST,
    StyleDiscriminator,
    StyleGAN2,
    StyleGenerator,
)
from illustkit.state_dicts import (
    StateDictError,
    as_array,
    find_network,
    fitting_arrays,
    read_state,
)

# An array's name that only this network of this project has.
_MARKS = {
    "generator": {"ada": "synthesis.b4.const", "rosinality": "input.input"},
    "discriminator": {"ada": "b4.fc.weight", "rosinality": "final_linear.0.weight"},
}
# What never changes, and what is read apart from the weights.
_KEPT = re.compile(r"(resample_filter|kernel|noise_const|w_avg|noises\.noise_\d+)$")


class _Entry(NamedTuple):
    """One array of a checkpoint."""

    name: str
    variable: Any
    shape: tuple[int, ...]
    """In the checkpoint."""
    convert: Callable[[np.ndarray], np.ndarray]
    """From the checkpoint's shape to the variable's."""


def load_stylegan2(
    model: StyleGAN2 | StyleGenerator | StyleDiscriminator,
    state: Mapping[str, Any] | str | os.PathLike,
) -> np.ndarray | None:
    """Load public weights of StyleGAN2, of two PyTorch projects.

    Names and shapes are those of `stylegan2-ada-pytorch` ("mapping.fc0.weight",
    "synthesis.b4.const", "b4.fc.weight") or of `rosinality/stylegan2-pytorch`
    ("style.1.weight", "input.input", "final_linear.0.weight"). A file may hold one
    network, or all of a training: then the averaged generator ("G_ema", "g_ema") is
    loaded. Of a `StyleGAN2` the generator is needed, and the discriminator is loaded if
    the file has one. Nothing is loaded unless everything fits.

    A `.pkl` of ADA holds code, which is never run here: save its `state_dict()` with
    PyTorch. A conditional network, and one that clips its activations, do not fit.

    Example:
    ```python
    model = diffusion.StyleGAN2(image_size=16, base=128, latent=16)
    noise = diffusion.load_stylegan2(model, "stylegan2.npz")
    latents = model.latents(4)
    latents["noise"] = np.repeat(noise, 4, axis=0)
    pictures = model.generate(latents)   # uint8 (4, 16, 16, 3)
    ```

    Args:
        model: What the weights are for.
        state: A dict of arrays by name (or of such dicts), or the path of a file that
            `illustkit.tensors.read_tensors` reads: `.npz`, `.safetensors`, or a file of
            `torch.save`, whose code is not run.

    Returns:
        The generator's fixed noise, float32 `(1, n_noise)`, if the file has it, else
        `None`. As "noise" of the inputs, with the same z, it gives the project's own
        picture.

    Raises:
        StateDictError: If the file has no such network, names are unknown or missing,
            or arrays have another shape or are not finite; the message lists all faults
            and the arguments with which the model fits.
        UserError: If a file is missing, broken or of another kind.

    Reference:
        github.com/NVlabs/stylegan2-ada-pytorch;
        github.com/rosinality/stylegan2-pytorch.
    """
    source, flat = read_state(state)
    if isinstance(model, StyleDiscriminator):
        _assign(_fitted(model, flat, source))
        return None
    pair = isinstance(model, StyleGAN2)
    generator = model.generator if pair else model
    found = _fitted(generator, flat, source)
    if pair and _find(flat, "discriminator"):
        found += _fitted(model.discriminator, flat, source)
    _assign(found)
    if pair:
        model.begin_average()
    project, prefix = _find(flat, "generator") or ("", "")
    mean = f"{prefix}mapping.w_avg" if project == "ada" else "latent_avg"
    if mean in flat:
        generator.mean_style.assign(as_array(flat[mean]).reshape(-1))
    noises = [prefix + name for name in _noises(generator, project)]
    if any(name not in flat for name in noises):
        return None
    return np.concatenate([as_array(flat[n]).reshape(1, -1) for n in noises], axis=1)


def _find(flat: Mapping[str, Any], role: str) -> tuple[str, str] | None:
    """Return a network's project and the prefix of its names, if it is there."""
    for project, mark in _MARKS[role].items():
        prefix = find_network(flat, [mark])
        if prefix is not None:
            return project, prefix
    return None


def _fitted(
    network: Any, flat: Mapping[str, Any], source: str
) -> list[tuple[_Entry, np.ndarray]]:
    """Return the arrays of one network, each with its place, or raise."""
    role = "generator" if isinstance(network, StyleGenerator) else "discriminator"
    found = _find(flat, role)
    if found is None:
        marks = " or ".join(_MARKS[role].values())
        raise StateDictError(
            f"{source} has no {role} of StyleGAN2: no array is called {marks}. Save "
            "the state_dict() of stylegan2-ada-pytorch or of rosinality's "
            "stylegan2-pytorch."
        )
    project, prefix = found
    entries = list(_ENTRIES[role](network, project))
    own = {n[len(prefix) :]: v for n, v in flat.items() if n.startswith(prefix)}
    if not prefix:  # beside a network that is not wrapped
        own.pop("latent_avg", None)
    values = fitting_arrays(
        own,
        {entry.name: entry.shape for entry in entries},
        source,
        f"this {role}",
        _advice(own, role, project),
        _KEPT,
    )
    return [(entry, values[entry.name]) for entry in entries]


def _assign(found: list[tuple[_Entry, np.ndarray]]) -> None:
    for entry, value in found:
        entry.variable.assign(entry.convert(value))


def _advice(own: Mapping[str, Any], role: str, project: str) -> str:
    """Say with which arguments the model would fit, as far as shapes tell."""

    def count(pattern):
        return sum(bool(re.fullmatch(pattern, name)) for name in own)

    def shape(name):
        return getattr(own.get(name), "shape", ())

    if role == "discriminator":
        first = {"ada": r"b(\d+)\.fromrgb\.weight", "rosinality": "convs.0.0.weight"}
        if project == "ada":
            levels = count(r"b\d+\.conv0\.weight")
        else:
            levels = count(r"convs\.\d+\.skip\.1\.weight")
        name = next((n for n in own if re.fullmatch(first[project], n)), "")
        widths = shape(name)[:1]
        told = {"image_size": 4 << levels}
    else:
        ada = project == "ada"
        levels = count(
            r"synthesis\.b\d+\.conv0\.weight" if ada else r"to_rgbs\.\d+\.bias"
        )
        last = (
            f"synthesis.b{4 << levels}.torgb" if ada else f"to_rgbs.{levels - 1}.conv"
        )
        widths = shape(f"{last}.weight")[-3:-2]
        mapping = count(r"mapping\.fc\d+\.weight" if ada else r"style\.\d+\.weight")
        told = {"image_size": 4 << levels, "mapping_layers": mapping}
        if latent := shape("mapping.fc0.weight" if ada else "style.1.weight")[-1:]:
            told["latent"] = latent[0]
    if widths and widths[0] < MOST:
        told["base"] = widths[0] * told["image_size"]
    listed = ", ".join(f"{name}={value}" for name, value in told.items())
    return f"By its shapes it is of {listed}."


def _noises(generator: StyleGenerator, project: str) -> list[str]:
    """Return the names of a generator's fixed noise, in the order of its layers."""
    if project == "rosinality":
        return [f"noises.noise_{i}" for i in range(generator.n_styles - 1)]
    sizes = [4 << i for i in range(generator.n_styles // 2)]
    return [
        f"synthesis.b{size}.conv{i}.noise_const"
        for size in sizes
        for i in ((0, 1) if size > 4 else (1,))
    ]


def _plain(name, variable):
    return _Entry(name, variable, tuple(variable.shape), lambda a: a)


def _dense(name, variable):
    return _Entry(name, variable, tuple(variable.shape)[::-1], np.transpose)


def _kernel(name, variable, leading=()):
    height, width, inputs, outputs = variable.shape
    shape = *leading, outputs, inputs, height, width
    return _Entry(
        name, variable, shape, lambda a: a.reshape(shape[-4:]).transpose(2, 3, 1, 0)
    )


def _reshaped(name, variable, shape):
    return _Entry(name, variable, shape, lambda a: a.reshape(variable.shape))


def _generator_entries(generator: StyleGenerator, project: str) -> Iterator[_Entry]:
    ada = project == "ada"
    for i in range(generator.mapping_layers):
        layer = generator.mapping.get_layer(f"dense_{i}")
        name = f"mapping.fc{i}" if ada else f"style.{i + 1}"
        yield _dense(f"{name}.weight", layer.kernel)
        yield _plain(f"{name}.bias", layer.offset)
    layer = generator.synthesis.get_layer("constant")
    constant = layer.constant  # (1, 4, 4, channels)
    shape = (constant.shape[-1], 4, 4) if ada else (1, constant.shape[-1], 4, 4)
    yield _Entry(
        "synthesis.b4.const" if ada else "input.input",
        constant,
        shape,
        lambda a: a.reshape(shape[-3:]).transpose(1, 2, 0)[None],
    )
    for level in range(generator.n_styles // 2):
        size = 4 << level
        for up in (True, False) if level else (False,):
            layer = generator.synthesis.get_layer(f"conv_{size}{'_up' * up}")
            if ada:
                name = f"synthesis.b{size}.conv{1 - up}"
                yield _kernel(f"{name}.weight", layer.kernel)
                yield _plain(f"{name}.noise_strength", layer.strength)
                yield _plain(f"{name}.bias", layer.offset)
            else:
                name = f"convs.{2 * level - 1 - up}" if level else "conv1"
                yield _kernel(f"{name}.conv.weight", layer.kernel, (1,))
                yield _reshaped(f"{name}.noise.weight", layer.strength, (1,))
                yield _plain(f"{name}.activate.bias", layer.offset)
            affine = f"{name}.affine" if ada else f"{name}.conv.modulation"
            yield _dense(f"{affine}.weight", layer.style_kernel)
            yield _plain(f"{affine}.bias", layer.style_bias)
        layer = generator.synthesis.get_layer(f"rgb_{size}")
        if ada:
            name = f"synthesis.b{size}.torgb"
            affine = f"{name}.affine"
            yield _kernel(f"{name}.weight", layer.kernel)
            yield _plain(f"{name}.bias", layer.offset)
        else:
            name = f"to_rgbs.{level - 1}" if level else "to_rgb1"
            affine = f"{name}.conv.modulation"
            yield _kernel(f"{name}.conv.weight", layer.kernel, (1,))
            yield _reshaped(f"{name}.bias", layer.offset, (1, generator.channels, 1, 1))
        yield _dense(f"{affine}.weight", layer.style_kernel)
        yield _plain(f"{affine}.bias", layer.style_bias)


def _discriminator_entries(
    discriminator: StyleDiscriminator, project: str
) -> Iterator[_Entry]:
    def both(layer, ada, rosinality):
        """Yield kernel and bias by the project's names of them."""
        layer = discriminator.get_layer(layer)
        if project == "ada":
            kernel, bias = f"{ada}.weight", f"{ada}.bias"
        else:
            folder, number = rosinality
            kernel, bias = f"{folder}.{number}.weight", f"{folder}.{number + 1}.bias"
        yield _kernel(kernel, layer.kernel)
        if layer.use_bias:
            yield _plain(bias, layer.offset)

    levels = int(math.log2(discriminator.image_size)) - 2
    yield from both("from_rgb", f"b{discriminator.image_size}.fromrgb", ("convs.0", 0))
    for number in range(1, levels + 1):
        size = 4 << (levels + 1 - number)
        block, convs = f"b{size}", f"convs.{number}"
        yield from both(f"conv_{size}", f"{block}.conv0", (f"{convs}.conv1", 0))
        yield from both(f"conv_{size}_down", f"{block}.conv1", (f"{convs}.conv2", 1))
        yield from both(f"short_{size}", f"{block}.skip", (f"{convs}.skip", 1))
    yield from both("conv_4", "b4.conv", ("final_conv", 0))
    names = ("b4.fc", "b4.out") if project == "ada" else (
        "final_linear.0", "final_linear.1"
    )  # fmt: skip
    layer = discriminator.get_layer("dense")
    outputs, channels = layer.units, layer.kernel.shape[0] // 16
    yield _Entry(
        f"{names[0]}.weight",
        layer.kernel,
        (outputs, 16 * channels),
        # (out, channel · row · column) -> (row · column · channel, out)
        lambda a: (
            a.reshape(outputs, channels, 4, 4)
            .transpose(2, 3, 1, 0)
            .reshape(-1, outputs)
        ),
    )
    yield _plain(f"{names[0]}.bias", layer.offset)
    layer = discriminator.get_layer("logit")
    yield _dense(f"{names[1]}.weight", layer.kernel)
    yield _plain(f"{names[1]}.bias", layer.offset)


_ENTRIES = {"generator": _generator_entries, "discriminator": _discriminator_entries}
