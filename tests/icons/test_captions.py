import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import captions
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.words import noun
from bioicons_kit.icons.words.curated import Curated, Entry
from bioicons_kit.preset import Bucket, Dataset


def icon(stem: str, root: Path = Path(), text: str | None = None) -> Icon:
    relative = f"mit/Cell_types/Servier/{stem}.svg"
    return Icon(root / relative, relative, "Cell types", "MIT", "Servier", stem, text=text)


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
        ("Soybean_cartoon", "soybean"),
        ("Yeast_new", "yeast"),
        ("New_Mouse", "mouse"),
        ("New_Zealand_rabbit", "new zealand rabbit"),
        ("chromosome_9", "chromosome 9"),
        ("Amphiprion_ocellaris_stage7", "amphiprion ocellaris stage 7"),
        ("48-well-plate", "48 well plate"),
        ("96well_pcr_plate", "96 well PCR plate"),
        ("embryo_21hours_old", "embryo 21 hours old"),
        ("falcon-50ml-pink", "falcon 50ml pink"),
        ("round-bottomed-flask-1-100ml", "round bottomed flask 100ml"),
        ("flask-3-empty", "flask empty"),
        ("embryo_10_cells_stage", "embryo 10 cells stage"),
        ("arrow3d-clockwise-2", "arrow 3d clockwise"),
        ("C_elegans", "c elegans"),
        ("simple_e_coli", "simple e coli"),
        ("b-lymphocyte", "B lymphocyte"),
        ("C-terminal_peptide", "C terminal peptide"),
        ("nucleotide-a-0", "nucleotide A"),
        ("DNA_double_helix", "DNA double helix"),
        ("dna-6", "DNA"),
        ("simpleDNA", "simple DNA"),
        ("DNAStrand", "DNA strand"),
        ("mRNAvaccine", "mRNA vaccine"),
        ("scRNAseq", "scRNA seq"),
        ("ATACseq", "ATAC seq"),
        ("ATPase", "ATPase"),
        ("RNase_A", "RNase A"),
        ("FLATPack", "FLAT pack"),
        ("Tcell", "T cell"),
        ("NKcells", "NK cells"),
        ("X_chromosome", "X chromosome"),
        ("vitaminC", "vitamin C"),
        ("Na_channel", "Na channel"),
        ("Ca2+_channel", "Ca2+ channel"),
        ("TLR-4", "TLR-4"),
        ("omega-3", "omega-3"),
        ("3dprinter", "3d printer"),
        ("3drawers", "3 drawers"),
        ("10days", "10 days"),
        ("Falcon50ml", "falcon 50ml"),
        ("mouse#2", "mouse"),
        ("mouse&rat", "mouse and rat"),
        ("mouse,gray", "mouse gray"),
        ("mRNA", "mRNA"),
        ("rnai", "RNAi"),
        ("mhc1_WITH_LIGAND", "MHC1 with ligand"),
        ("MICROSCOPE", "microscope"),
        ("FTIR-spectrometer", "FTIR spectrometer"),
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
        ("glycine_chem", "glycine structural formula"),
        ("dinosaur-text", "dinosaur with text"),
        ("text", "text"),
        ("membrane-3d-orangelightgreen", "membrane 3d orange light green"),
        ("tubes-empty-graycap", "tubes empty gray cap"),
        ("drosophila-redeyes", "drosophila red eyes"),
        ("emptycell-2", "empty cell"),
        ("testtube", "test tube"),
        ("microtube", "microtube"),
        ("eggplant", "eggplant"),
        ("greenhouse", "greenhouse"),
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
        *("an MRI", "a DNA strand", "an RNA hairpin", "an mRNA", "a tRNA", "an siRNA"),
        *("a PCR tube", "an NK cell", "a pH meter", "an AAV", "a HeLa cell", "an IgE"),
        *("an H2O", "an HPLC", "an X-ray", "a B-cell", "a U-tube", "an e coli", "a c elegans"),
        *("a SARS-CoV-2", "a CRISPR Cas9", "a 48 well plate", "an 8 cell embryo", "an 11 mer"),
        *("an 18 gauge needle", "a 110 mm tube", "an 80 ml flask", "a 1000 ml flask"),
        *("an écorché", "an Überzug", "a 血浆", "a ---"),
    ],
)
def test_article_follows_the_sound(phrase):
    expected, name = phrase.split(" ", 1)
    assert captions.article(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("cells", "lymphocytes", "muscle cells", "honey bee eggs", "red blood cells", "bodies"),
        *("beakers", "ions light blue", "tubes filled pink cap", "brown bottles 2d", "cameras"),
        *("cells side view", "teeth adult", "mitochondria", "cyanobacteria", "nuclei", "algae"),
        *("conidia", "old women", "mice", "PCRs", "heart chambers visible", "cell clumps"),
        *("bread", "fat tissue", "collagen 3d", "DNA", "blood flow", "lung cancer", "scabies"),
        *("wound healing", "sequencing", "exocytosis", "paper chromatography", "sinusitis"),
        *("genetics", "gas under pressure", "toxic", "flammable with text", "oxidizing"),
        *("petri dishes with colony", "before dissection of frog"),
    ],
)
def test_plurals_and_what_is_not_counted_have_no_article(name):
    assert captions.article(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("virus", "glass", "lens", "mitosis", "apparatus", "species", "nucleus", "gas mask"),
        *("pancreas", "atlas", "larynx", "biceps", "thrips", "pseudomonas", "saccharomyces"),
        *("cell", "cell culture", "herpes simplex virus", "disease model", "bread knife"),
        *(
            "seedling",
            "wing",
            "ring",
            "building",
            "arrow right three ends",
            "bacteria culture loop",
        ),
        *(
            "petri dish with bacteria",
            "lateral view of bones",
            "glass water",
            "DNA nucleotides map",
        ),
        *("plasma membrane", "abdomen", "slice", "bacterium", "table", "crucible"),
    ],
)
def test_one_thing_has_an_article_whatever_its_ending(name):
    assert captions.article(name) in {"a", "an"}


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("honey bee", "bee"),
        ("mouse fat", "mouse"),
        ("membrane 3d orange light green", "membrane"),
        ("lateral view of bones of right hand", "view"),
        ("dinosaur with text", "dinosaur"),
        ("gram negative bacteria E coli", "bacteria"),
        ("CD8 T cell", "cell"),
        ("helper T cells", "cells"),
        ("chromosome X", "chromosome"),
        ("type I collagen", "collagen"),
        ("green", "green"),
        ("in vitro", "vitro"),
        ("8 cell embryo", "embryo"),
    ],
)
def test_the_noun_of_a_name(name, head):
    assert noun.head(name) == head


def test_template_is_filled_and_white_space_collapsed():
    filled = captions.caption(
        icon("mRNA_strand-2"), "{trigger},  {article} {name}\n({category})", "bioicon style"
    )
    assert filled == "bioicon style, an mRNA strand (cell types)"
    plural = captions.caption(icon("animal-cells"), "{trigger}, {article} {name}", "flat")
    assert plural == "flat, animal cells"


def test_an_image_is_named_after_its_title():
    photo = Icon(Path("x/0000001.jpg"), "x/0000001.jpg", "x", "MIT", "Jo", "A harbor", kind="image")
    assert captions.caption(photo, "{trigger}, {name}", "oil") == "oil, a harbor"
    assert captions.caption(photo, "{trigger}, {article} {name}", "oil") == "oil, a harbor"
    boats = replace(photo, title="Boats, two of them")
    assert captions.caption(boats, "{article} {name}", "") == "boats two of them"


def test_captions_hold_neither_author_nor_license_and_values_are_not_templates():
    text = captions.caption(icon("a_{trigger}"), "{trigger}, {article} {name}, {category}", "style")
    assert text == "style, an a {trigger}, cell types"


@given(st.text(max_size=40))
def test_every_name_gives_a_caption(stem):
    name = captions.clean_name(stem)
    assert name == " ".join(name.split())
    assert name
    assert captions.article(name) in {"a", "an", ""}
    assert noun.head(name) in name


TEMPLATE = "{trigger}, {article} {name}"


def of(icon: Icon, template: str = TEMPLATE, written: Curated | None = None) -> tuple[str, ...]:
    dataset = Dataset(root="icons", trigger="Bioicon style", buckets=[Bucket()])
    return captions.captions(Row(icon, 0, 1, template=template), dataset, written or Curated({}))


def beside(icon: Icon, text: str | bytes) -> Path:
    path = icon.path.with_suffix(".txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestWhoseWordsCount:
    def test_the_captions_file_then_the_text_file_then_the_source_then_the_template(self, tmp_path):
        each = icon("yeast", tmp_path, text="a budding yeast\nyeast, dividing")
        assert of(icon("yeast", tmp_path)) == ("Bioicon style, a yeast",)
        assert of(each) == ("Bioicon style, a budding yeast", "Bioicon style, yeast, dividing")
        beside(each, "\ufeff  two  yeast cells \r\n\n a yeast\n")
        assert of(each) == ("Bioicon style, two yeast cells", "Bioicon style, a yeast")
        written = Curated({each.relative: Entry(each.relative, ("one yeast",))})
        assert of(each, written=written) == ("Bioicon style, one yeast",)

    def test_only_the_icons_own_text_file_counts(self, tmp_path):
        beside(icon("yeast", tmp_path), "yeast cells")
        other = icon("yeast_2", tmp_path)
        assert of(other) == ("Bioicon style, a yeast",)
        dotted = icon("yeast.drawio", tmp_path)
        beside(dotted, "a drawn yeast")
        assert dotted.path.with_name("yeast.drawio.txt").exists()
        assert of(dotted) == ("Bioicon style, a drawn yeast",)


class TestTrigger:
    @pytest.mark.parametrize(
        ("written", "caption"),
        [
            ("a mouse", "Bioicon style, a mouse"),
            ("a mouse, {trigger}", "a mouse, Bioicon style"),
            ("a mouse in bioicon  STYLE", "a mouse in bioicon STYLE"),
            ("a bioicon styled mouse", "Bioicon style, a bioicon styled mouse"),
            ("a {name} {", "Bioicon style, a {name} {"),
        ],
    )
    def test_stands_where_the_words_say_so_or_in_front(self, tmp_path, written, caption):
        assert of(icon("mouse", tmp_path, text=written)) == (caption,)

    def test_is_left_out_where_the_template_has_none(self, tmp_path):
        assert of(icon("mouse", tmp_path, text="a mouse"), "{name}") == ("a mouse",)
        assert of(icon("mouse", tmp_path, text="{trigger}: a mouse"), "{name}") == (
            "Bioicon style: a mouse",
        )

    def test_captions_that_become_equal_are_one(self, tmp_path):
        twice = icon("mouse", tmp_path, text="a mouse\nBioicon style, a mouse")
        assert of(twice) == ("Bioicon style, a mouse",)


class TestTextFilesThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "holds no caption"),
            (b" \n\t\n", "holds no caption"),
            (b"caf\xe9", "is no UTF-8 text"),
            (b"x" * 70_000, "repair or remove it"),
            (b"x" * 2_001, "a caption of 2001 characters; the limit is 2000"),
        ],
    )
    def test_are_refused_by_name(self, tmp_path, content, said):
        each = icon("mouse", tmp_path)
        path = beside(each, content)
        with pytest.raises(LibraryError, match=said) as refusal:
            of(each)
        assert str(refusal.value).startswith(str(path))

    def test_a_link_out_of_the_library(self, tmp_path):
        each = icon("mouse", tmp_path / "icons")
        beside(each, "x").unlink()
        (tmp_path / "secret").write_text("key", "utf-8")
        each.path.with_suffix(".txt").symlink_to(tmp_path / "secret")
        with pytest.raises(LibraryError, match="leads out of the library"):
            of(each)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes of that kind")
    def test_a_pipe_is_not_waited_for(self, tmp_path):
        each = icon("mouse", tmp_path)
        beside(each, "x").unlink()
        os.mkfifo(each.path.with_suffix(".txt"))
        with pytest.raises(LibraryError, match="is no file"):
            of(each)

    def test_control_characters_are_left_out(self, tmp_path):
        assert of(icon("mouse", tmp_path, text="a \x1b[31mmouse\u202e\x00")) == (
            "Bioicon style, a [31mmouse",
        )
