"""The lexer that Pygments finds under the name `netdsl`."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

from netdsl.elaborate.arithmetic import BUILTINS
from netdsl.ops import REGISTRY

CONTROL = ("for", "in", "if", "else", "repeat", "require", "when", "extends", "as", "import", "from")


class NetdslLexer(RegexLexer):  # type: ignore[misc]
    """Specs of neural networks."""

    name = "netdsl"
    aliases = ["netdsl"]
    filenames = ["*.net"]

    tokens = {
        "root": [
            (r"\n", Text),
            (r"[^\S\n]+", Text),
            (r"#.*$", Comment.Single),
            (r"f?(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')", String),
            (
                r"^(block|net|recipe|expect|experiment)(\s+)([A-Za-z_]\w*)",
                bygroups(Keyword.Declaration, Text, Name.Class),
            ),
            (r"^(from)(\s+)([\w.]+)", bygroups(Keyword.Namespace, Text, Name.Namespace)),
            (r"(input|output|share)(\s+)([A-Za-z_]\w*)", bygroups(Keyword, Text, Name.Variable)),
            (r"(group|freeze|vary|compare|plot)(\s+)(?=[A-Za-z_])", bygroups(Keyword, Text)),
            (r"\bagainst(?=[ \t]+[A-Za-z_])", Keyword),
            (r"residual(?=\s*[({])", Keyword),
            (words(CONTROL, prefix=r"\b", suffix=r"\b(?!\s*=(?!=))"), Keyword),
            (r"\b(and|or|not)\b", Operator.Word),
            (r"\b([Tt]rue|[Ff]alse|[Nn]one|it)\b", Keyword.Constant),
            (r"(?<=\d )(epochs?|steps?)\b", Keyword.Type),
            (r"0[xX][0-9a-fA-F_]+", Number.Hex),
            (r"(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?", Number),
            (r"([A-Za-z_]\w*)(\s*)(?=:)", bygroups(Name.Label, Text)),
            (r"([A-Za-z_]\w*)(\s*)(?==(?!=))", bygroups(Name.Attribute, Text)),
            (words(tuple(REGISTRY), prefix=r"\b", suffix=r"\b"), Name.Function),
            (words(tuple(BUILTINS), prefix=r"\b", suffix=r"\b"), Name.Builtin),
            (r"[A-Za-z_]\w*", Name),
            (r"->|==|!=|<=|>=|\*\*|//|[-+*/%@|<>=]", Operator),
            (r"[{}\[\](),:.]", Punctuation),
        ]
    }
