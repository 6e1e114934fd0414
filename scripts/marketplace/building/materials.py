"""Materials for Blender's Principled BSDF: print, plastic, metal, glass, cloth, wood, stone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.printing.sheet import Label


def linear(colour: Colour) -> tuple[float, float, float, float]:
    """An sRGB colour as Blender expects it: linear, with alpha."""
    encoded = np.array(colour) / 255
    values = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return float(values[0]), float(values[1]), float(values[2]), 1.0


def solid(
    colour: Colour,
    *,
    roughness: float = 0.45,
    metallic: float = 0.0,
    coat: float = 0.0,
    glass: float = 0.0,
    sheen: float = 0.0,
    ior: float = 1.46,
) -> Any:
    """A material of one colour; `glass` is the share of light that it lets through."""
    import bpy

    made = bpy.data.materials.new("solid")
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    values = {
        "Base Color": linear(colour), "Roughness": roughness, "Metallic": metallic, "Coat Weight": coat,
        "Transmission Weight": glass, "Sheen Weight": sheen, "IOR": ior, "Coat Roughness": 0.06,
    }  # fmt: skip
    for name, value in values.items():
        shader.inputs[name].default_value = value
    if glass:
        _let_light_through(made, colour)
    return made


def _let_light_through(material: Any, colour: Colour) -> None:
    """Make glass tint the light instead of casting a shadow; Cycles has no caustics at these sample counts."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    path, clear, mix = (nodes.new(f"ShaderNode{name}") for name in ("LightPath", "BsdfTransparent", "MixShader"))
    tint = 0.35 + 0.65 * np.array(linear(colour)[:3])
    clear.inputs["Color"].default_value = (*tint.tolist(), 1.0)
    either = nodes.new("ShaderNodeMath")
    either.operation = "MAXIMUM"
    links.new(path.outputs["Is Shadow Ray"], either.inputs[0])
    links.new(path.outputs["Is Diffuse Ray"], either.inputs[1])
    links.new(either.outputs[0], mix.inputs[0])
    links.new(nodes["Principled BSDF"].outputs[0], mix.inputs[1])
    links.new(clear.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], nodes["Material Output"].inputs["Surface"])


def printed(label: Label, **finish: float) -> Any:
    """A material with the label as its colour, transparent where the label is."""
    import bpy
    from PIL import Image

    made = solid((255, 255, 255), **finish)
    with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as file:
        path = Path(file.name)
    Image.fromarray(label).save(path)
    image = bpy.data.images.load(str(path))
    image.pack()
    path.unlink()
    nodes, links = made.node_tree.nodes, made.node_tree.links
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.extension, texture.interpolation = image, "EXTEND", "Cubic"
    shader = nodes["Principled BSDF"]
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    if label.shape[2] == 4 and int(label[..., 3].min()) < 255:
        links.new(texture.outputs["Alpha"], shader.inputs["Alpha"])
    return made


def bumped(material: Any, kind: str, *, scale: float, strength: float, distance: float = 0.02) -> Any:
    """The material with a procedural relief: `noise`, `grain` (leather), `weave` (cloth) or `brick`."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place = nodes.new("ShaderNodeTexCoord")
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = strength, distance
    height = _relief(nodes, links, place.outputs["Object"], kind, scale)
    links.new(height, bump.inputs["Height"])
    links.new(bump.outputs["Normal"], nodes["Principled BSDF"].inputs["Normal"])
    return material


def _relief(nodes: Any, links: Any, place: Any, kind: str, scale: float) -> Any:
    if kind == "weave":
        waves = []
        for direction in ("X", "Y"):
            wave = nodes.new("ShaderNodeTexWave")
            wave.bands_direction = direction
            wave.inputs["Scale"].default_value = scale
            wave.inputs["Distortion"].default_value = 0.6
            links.new(place, wave.inputs["Vector"])
            waves.append(wave)
        both = nodes.new("ShaderNodeMath")
        both.operation = "MAXIMUM"
        links.new(waves[0].outputs["Fac"], both.inputs[0])
        links.new(waves[1].outputs["Fac"], both.inputs[1])
        return both.outputs[0]
    if kind == "grain":
        cells = nodes.new("ShaderNodeTexVoronoi")
        cells.inputs["Scale"].default_value = scale
        links.new(place, cells.inputs["Vector"])
        return cells.outputs["Distance"]
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, 5.0
    links.new(place, noise.inputs["Vector"])
    return noise.outputs["Fac"]


def mixed(first: Colour, second: Colour, kind: str, *, scale: float, roughness: float, stretch: float = 1.0) -> Any:
    """A material of two colours mixed by a procedural texture: `noise`, `marble`, `wood` or `checker`."""
    import bpy

    made = solid(first, roughness=roughness)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    place, turn = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    turn.inputs["Scale"].default_value = (scale * stretch, scale, scale)
    links.new(place.outputs["Object"], turn.inputs["Vector"])
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = linear(first), linear(second)
    if kind == "checker":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Scale"].default_value = 1.0
        links.new(turn.outputs["Vector"], texture.inputs["Vector"])
        links.new(texture.outputs["Fac"], ramp.inputs["Fac"])
    else:
        links.new(_veins(nodes, links, turn.outputs["Vector"], kind), ramp.inputs["Fac"])
        ramp.color_ramp.elements[0].position = {"marble": 0.0, "wood": 0.3}.get(kind, 0.35)
        ramp.color_ramp.elements[1].position = {"marble": 0.12, "wood": 0.75}.get(kind, 0.65)
    links.new(ramp.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    assert bpy is not None
    return made


def _veins(nodes: Any, links: Any, place: Any, kind: str) -> Any:
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Detail"].default_value = 9.0
    noise.inputs["Distortion"].default_value = {"marble": 1.6, "wood": 0.7}.get(kind, 0.0)
    links.new(place, noise.inputs["Vector"])
    if kind != "marble":
        return noise.outputs["Fac"]
    away, fold = nodes.new("ShaderNodeMath"), nodes.new("ShaderNodeMath")
    away.operation, fold.operation = "SUBTRACT", "ABSOLUTE"
    away.inputs[1].default_value = 0.5
    links.new(noise.outputs["Fac"], away.inputs[0])
    links.new(away.outputs[0], fold.inputs[0])
    return fold.outputs[0]
