"""Writes whom to cite: the paper whose system this is, and jaxpower.

`CITATION.cff` says the same to GitHub and Zenodo; a test holds them together.
"""

from collections.abc import Mapping

# The version of ARCS 2024, as its authors' institute (dfki.de, publication
# 14672) and arXiv list it.
PAPER = {
  "author": "Gei{\\ss}ler, Daniel and Zhou, Bo and Liu, Mengxi and Suh, Sungho"
  " and Lukowicz, Paul",
  "title": "The Power of Training: How Different Neural Network Setups"
  " Influence the Energy Demand",
  "booktitle": "Architecture of Computing Systems ({ARCS})",
  "publisher": "Springer",
  "year": "2024",
  "eprint": "2401.01851",
  "archiveprefix": "arXiv",
}
SOFTWARE = {
  "author": "{The jaxpower authors}",
  "title": "jaxpower: joules to train a network to an accuracy",
}


def entries(version: str) -> str:
  """Writes both entries.

  Args:
    version: Of jaxpower; "unknown" where it is.
  """
  software = SOFTWARE | ({} if version == "unknown" else {"version": version})
  return "\n".join(
    (
      _entry("inproceedings", "geissler2024power", PAPER),
      _entry("software", "jaxpower", software),
    )
  )


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
  width = max(map(len, fields))
  lines = (
    f"  {name:<{width}} = {{{text}}},\n" for name, text in fields.items()
  )
  return f"@{kind}{{{key},\n{''.join(lines)}}}\n"
