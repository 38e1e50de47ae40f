"""The starter's vocabularies, made in memory and the same each time.

Training a tokenizer is not deterministic across library versions; a written list is. For
T5 a word of the list is one piece and everything else is spelled in characters; for CLIP
the words give the merges of a byte-pair encoding, so that they break into few pieces.
"""

import string

_FUNCTION_WORDS = """
a an the of in on with and or from to at by for as is are its into over under between
one two three four many several no very
"""

_STYLE_WORDS = """
bioicon style icon flat vector drawing picture illustration simple clean white black gray red
orange yellow green blue purple pink brown background outline outlined hatched shaded sketch
child like blueprint line lines color colors colored small large big little side view top
front open closed single whole half cross section round long short thick thin detailed
scientific figure diagram symbol shape dark light plain
"""

_SUBJECT_WORDS = """
animal fish zebrafish mouse rat rabbit frog fly fruit bee butterfly beetle ant spider crab snail
octopus squid jellyfish starfish worm nematode snake turtle lizard bird owl chicken duck whale
dolphin shark seal cat dog cow pig sheep horse monkey bear fox deer elephant bat hedgehog
dinosaur skull bone skeleton shell feather egg nest antenna wing tail fin claw
cell cells blood neuron muscle epithelial stem plant nerve fat skin membrane nucleus
mitochondrion ribosome vesicle golgi chloroplast vacuole cilium flagellum axon dendrite synapse
bacterium bacteria virus particle phage bacteriophage yeast amoeba paramecium spore fungus mold
mushroom alga algae diatom coral moss fern grass leaf leaves flower tree root seed pollen cactus
fruit apple berry wheat corn rice pine cone
dna rna helix hairpin plasmid chromosome gene protein antibody enzyme receptor channel peptide
molecule atom water sugar glucose lipid crystal benzene ring bond
heart lung lungs brain kidney liver stomach intestine eye ear hand foot tooth tongue spine
flask beaker tube test pipette syringe needle petri dish microscope centrifuge balance scale
burner plate well bottle funnel thermometer magnet laser lens mirror filter pump fridge gloves
goggles coat computer chip screen camera robot battery cable telescope rocket satellite planet
songbird robin chick sea garden axolotl ladybird honey drosophila dragonfly caterpillar elegans
lymphocyte erythrocytes epithelium fiber coronavirus mitochondria apparatus sperm micelle
nanoparticle double folded arabidopsis seedling sprout carrot bunsen erlenmeyer conical bottom
micropipette scales mortar pestle bulb cog magnifying glass magnifier saturn notebook soft crayon
sun moon star cloud rain volcano mountain river globe map book pencil clock key lock lamp gear
"""


def words() -> tuple[str, ...]:
    """Return the list's words, each once, in the order of their first appearance."""
    text = f"{_FUNCTION_WORDS} {_STYLE_WORDS} {_SUBJECT_WORDS}"
    return tuple(dict.fromkeys(text.split()))


def t5_vocabulary() -> list[tuple[str, float]]:
    """Return T5's pieces with their Unigram log scores, special pieces first.

    A whole word costs less than its letters, so it is always taken; letters with the
    longest matches last keep every ASCII text representable.
    """
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    whole = [(f"▁{word}", -3.0) for word in words()]
    letters = [(char, -8.0) for char in string.digits + string.ascii_letters + string.punctuation]
    return special + whole + letters


def clip_vocabulary() -> dict[str, int]:
    """Return CLIP's byte-level pieces, its merged pieces, and its two special tokens."""
    alphabet = _byte_characters()
    merged = [left + right for left, right in _merge_pairs()]
    pieces = [*alphabet, *(f"{char}</w>" for char in alphabet), *merged]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


def clip_merges() -> list[tuple[str, str]]:
    """Return CLIP's merges in the order they apply."""
    return _merge_pairs()


def _merge_pairs() -> list[tuple[str, str]]:
    """Return merges that build each word from the left, letter by letter."""
    pairs: dict[tuple[str, str], None] = {}
    for word in sorted(words(), key=lambda word: (len(word), word)):
        symbols = [*word[:-1], f"{word[-1]}</w>"]
        left = symbols[0]
        for right in symbols[1:]:
            pairs.setdefault((left, right))
            left += right
    return list(pairs)


def _byte_characters() -> list[str]:
    """Return the 256 printable stand-ins of byte-level BPE (Radford et al. 2019, GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(moved))]
