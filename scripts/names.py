"""Read what labels say, and note it in a findings table.

Of each finding that is flagged or for review, it reads the name on the listing's label and the one on the genuine
label: the same name, one letter off, another name, a name that can't be seen, or one that can't be read. Report and
bundle then show it. It never changes a verdict. Reading takes about a second a finding: list first what is worth a look
(`lookalike shortlist`).

Examples:
lookalike names findings.parquet --out named.parquet
lookalike names today.csv --out named.csv --photos-under /srv/photos
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import FindingsOut, PhotoOptions, Quiet
from lookalike.scripts.outputs import TABLE, require_outputs
from lookalike.scripts.terminal import counted, note, progress

if TYPE_CHECKING:
    from lookalike.tables.findings import FindingRow


def names(
    findings: Annotated[Path, typer.Argument(help="Findings table, complete or a shortlist.")],
    out: FindingsOut,
    *,
    photos: PhotoOptions,
    quiet: Quiet = False,
) -> int:
    from lookalike.model.text import require_text_reader

    require_text_reader()
    from lookalike.evidence.label_names import NameReader
    from lookalike.evidence.naming import READ, with_names
    from lookalike.tables.findings import count_findings, read_findings, write_findings
    from lookalike.tables.names import ANSWERS, name_in

    require_outputs({"--out": (out, TABLE)}, {"FINDINGS": findings})
    answers: Counter[str] = Counter()
    wanted = count_findings(findings, verdicts=READ)
    with progress("reading labels", total=wanted, quiet=quiet) as advance:

        def noted() -> Iterator[FindingRow]:
            for row in with_names(read_findings(findings), names=NameReader(), reader=photos.reader()):
                if row["verdict"] in READ:
                    reading = name_in(row["label_name"])
                    answers[reading.answer if reading else "no photo"] += 1
                    advance(1)
                yield row

        write_findings(noted(), out)
    told = [f"{answers[answer]:,} {words}" for answer, words in ANSWERS.items() if answers[answer]]
    if answers["no photo"]:
        told.append(f"{answers['no photo']:,} whose photos can't be read any more")
    note(f"{out}: labels of {counted(wanted, 'finding')} read: {', '.join(told) or 'none'}", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if answers["no photo"] else Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
