"""Makes the fonts of the ticket PDF.

    pip install fonttools==4.68.0 uharfbuzz==0.57.0
    python3 make.py PRETENDARD/dist/public/static NotoSansCJK-Bold.ttc

The first is from the npm package `pretendard` 1.3.9, the second from the Debian package `fonts-noto-cjk`.

AdmitSans has all 11,172 syllables, since an exhibition's name may use any of them, Latin, Greek, punctuation, arrows
and CJK symbols. Pretendard has no hanja, and names like to use one: AdmitHanja has the 4,620 of KS X 1001, and kana.
The names change because the licence reserves `Pretendard` for unmodified copies. The kerning of Latin pairs moves
from GPOS to a plain `kern` table: a reader of that is a few lines, a shaping engine is twenty crates, and composed
Hangul needs none.
"""

import subprocess
import sys
import unicodedata

import uharfbuzz as hb
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._k_e_r_n import KernTable_format_0

UNICODES = (
    "U+20-7E,U+A0-17F,U+192,U+218-21B,U+2B0-2FF,U+386-3CE,U+2000-206F,U+2070-209F,U+20A0-20BF,U+2100-214F,"
    "U+2150-218F,U+2190-21FF,U+2200-22FF,U+2460-24FF,U+2500-25FF,U+2600-266F,U+2713-2717,U+3000-303F,"
    "U+3131-318E,U+3200-33FF,U+AC00-D7A3,U+FF00-FFEF,U+FFFD"
)
KERNED = [chr(c) for c in [*range(0x21, 0x7F), *range(0xC0, 0x100), 0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2026]]


def kerning(path, cmap):
    font = hb.Font(hb.Face(hb.Blob.from_file_path(path)))

    def advance(text, kern):
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        hb.shape(font, buffer, {"kern": kern, "liga": False, "calt": False, "ccmp": False})
        return sum(p.x_advance for p in buffer.glyph_positions)

    pairs = {}
    for left in KERNED:
        for right in KERNED:
            value = advance(left + right, True) - advance(left + right, False)
            if value and ord(left) in cmap and ord(right) in cmap:
                pairs[cmap[ord(left)], cmap[ord(right)]] = value
    return pairs


def hanja():
    rows = [bytes([row, cell]).decode("euc_kr") for row in range(0xCA, 0xFE) for cell in range(0xA1, 0xFF)]
    return ",".join(f"U+{ord(unicodedata.normalize('NFC', c)):X}" for c in rows)


def make(source, number, unicodes, family, weight, kerned):
    script = f"{family.replace(' ', '')}-{weight}"
    target = f"{script}.otf"
    subprocess.check_call([
        "pyftsubset", source, f"--font-number={number}", f"--unicodes={unicodes}", f"--output-file={target}",
        "--layout-features=", "--no-hinting", "--notdef-outline", "--name-IDs=0,1,2,3,4,5,6,7,8,9,11,13,14",
        "--drop-tables+=GSUB,GPOS,GDEF,BASE,STAT,vhea,vmtx,VORG",
    ])
    font = TTFont(target, recalcTimestamp=False)
    if kerned:
        table = KernTable_format_0()
        table.version, table.coverage, table.tupleIndex, table.apple = 0, 1, None, False
        table.kernTable = kerning(source, font.getBestCmap())
        font["kern"] = newTable("kern")
        font["kern"].version, font["kern"].kernTables = 0, [table]
    for record in font["name"].names:
        new = {1: family, 2: weight, 3: script, 4: f"{family} {weight}", 6: script}.get(record.nameID)
        if new:
            record.string = new
    cff = font["CFF "].cff
    cff.fontNames[0] = script
    top = cff.topDictIndex[0]
    top.FamilyName, top.FullName, top.Weight = family, f"{family} {weight}", weight
    font["head"].modified = font["head"].created
    font.save(target)
    print(target, len(font.getBestCmap()), "characters")


for weight in ["Regular", "SemiBold"]:
    make(f"{sys.argv[1]}/Pretendard-{weight}.otf", 0, UNICODES, "Admit Sans", weight, True)
# Face 1 of the collection is the Korean one. One weight: a hanja stands in a name, hardly ever elsewhere.
make(sys.argv[2], 1, hanja() + ",U+3041-30FF", "Admit Hanja", "Bold", False)
