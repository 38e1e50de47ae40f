from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.icons import captions
from bioicons_kit.icons.library import Icon


def icon(stem: str) -> Icon:
    relative = f"mit/Cell_types/Servier/{stem}.svg"
    return Icon(Path(relative), relative, "Cell types", "MIT", "Servier", stem)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("honey_bee_adult_worker", "honey bee adult worker"),
        ("gas-under-pressure", "gas under pressure"),
        ("DicotSeedling", "dicot seedling"),
        ("ArabidopsisTopView", "arabidopsis top view"),
        ("adipocyte-7", "adipocyte"),
        ("flask- (4)", "flask"),
        ("blood-flow--1", "blood flow"),
        ("4c_embryo_style1", "4c embryo"),
        ("img_sequencer_long_read05", "sequencer long read"),
        ("gut_bacteria.drawio", "gut bacteria"),
        ("eosinophil_ok", "eosinophil"),
        ("Yeast_new", "yeast"),
        ("New_Mouse", "mouse"),
        ("New_Zealand_rabbit", "new zealand rabbit"),
        ("chromosome_9", "chromosome 9"),
        ("Amphiprion_ocellaris_stage7", "amphiprion ocellaris stage 7"),
        ("48-well-plate", "48 well plate"),
        ("C_elegans", "c elegans"),
        ("simple_e_coli", "simple e coli"),
        ("DNA_double_helix", "DNA double helix"),
        ("dna-6", "DNA"),
        ("simpleDNA", "simple DNA"),
        ("DNAStrand", "DNA strand"),
        ("mRNA", "mRNA"),
        ("H2O", "H2O"),
        ("CRISPR_Cas9", "CRISPR Cas9"),
        ("ph-meter", "pH meter"),
        ("SARS-CoV-2", "SARS-CoV-2"),
        ("sars_cov_2_spike", "SARS-CoV-2 spike"),
        ("HIV-1", "HIV-1"),
        ("B-cell_cluster", "B-cell cluster"),
        ("T_cell", "T cell"),
        ("X-ray", "X-ray"),
        ("A-DNA", "A-DNA"),
        ("PyTorch", "PyTorch"),
        ("Microarray_or_sequencing_chip_(green)", "microarray or sequencing chip green"),
        ("glycine_noH", "glycine without hydrogens"),
        ("12", "12"),
        ("_ok", "ok"),
        ("---", "icon"),
        ("血浆", "血浆"),
    ],
)
def test_names_keep_what_is_drawn_and_drop_the_rest(stem, name):
    assert captions.clean_name(stem) == name


@pytest.mark.parametrize(
    "phrase",
    [
        *("a mouse", "an alpaca", "an hour glass", "a human heart", "an honest broker"),
        *("a unicorn", "a uniform", "a unicellular alga", "an unidentified cell"),
        *("a unidirectional arrow", "an umbrella", "a ureter", "a urine sample", "an urchin"),
        *("a uterus", "a user", "a eukaryote", "a one color heart", "an onion", "a UV lamp"),
        *("an MRI", "a DNA", "an RNA", "an mRNA", "a tRNA", "an siRNA", "a PCR tube", "an NK cell"),
        *("an H2O", "an HPLC", "an X-ray", "a B-cell", "a U-tube", "an e coli", "a c elegans"),
        *("a SARS-CoV-2", "an IgE", "a HeLa cell", "a CRISPR Cas9", "an AAV", "a pH meter"),
        *(
            "a 48 well plate",
            "an 8 cell embryo",
            "an 11 mer",
            "an 18 gauge needle",
            "a 110 mm tube",
        ),
        *("an 80 ml flask", "a 1000 ml flask", "an écorché", "an Überzug", "a 血浆", "a ---"),
    ],
)
def test_article_follows_the_sound(phrase):
    expected, name = phrase.split(" ", 1)
    assert captions.article(name) == expected


def test_template_is_filled_and_white_space_collapsed():
    filled = captions.caption(
        icon("mRNA_strand-2"), "{trigger},  {article} {name}\n({category})", "bioicon style"
    )
    assert filled == "bioicon style, an mRNA strand (cell types)"


def test_captions_hold_neither_author_nor_license_and_values_are_not_templates():
    text = captions.caption(icon("a_{trigger}"), "{trigger}, {article} {name}, {category}", "style")
    assert text == "style, an a {trigger}, cell types"


@given(st.text(max_size=40))
def test_every_name_gives_a_caption(stem):
    name = captions.clean_name(stem)
    assert name == " ".join(name.split())
    assert name
    assert captions.article(name) in {"a", "an"}
