"""The grammar of the text form: a criteria set as people read it, the same model as in YAML and JSON (V-5).

    criteria line-acceptance version 1 "Acceptance" / "验收"
    phase challenge "Challenge" / "扰动试验" (planned = 40 h)
    criterion pressure-limit "Reactor pressure" / "反应器压力" clause "5.1" in challenge:
        band(reactor.pressure, high = 2895 kPa)
        decision(rule = guard_band)
        quality(max_gap = 15 min)

A value is a quantity (`2895 kPa`, `3 '1'` or `3 "1"` where the unit is not a plain word), a number, a word or quoted text, a list, a record,
arithmetic over channels (`a.x + b.y - 2 kPa`), or a formula (`always[0 s, 30 min](a.x <= 5 kPa and b.open is true)`). `#` begins a remark. Which
fields a kind has is the model's business: the grammar knows none of them.
"""

GRAMMAR = r"""
set: "criteria" ID "version" INT title options? (phase | criterion)*
phase: "phase" ID title options?
criterion: "criterion" ID title ("clause" STRING)? "in" ID ":" WORD arguments part*
part: WORD arguments
title: STRING "/" STRING
options: "(" [argument ("," argument)*] ")"
arguments: "(" [item ("," item)*] ")"
?item: argument | value
argument: WORD "=" value

?value: implies
?implies: disjunction | disjunction "implies" disjunction -> implies
?disjunction: conjunction | conjunction ("or" conjunction)+ -> any
?conjunction: temporal | temporal ("and" temporal)+ -> all
?temporal: comparison
    | comparison "until" interval? comparison -> until
    | comparison "since" interval? comparison -> since
?comparison: sum
    | sum RELATION sum ("scale" QUANTITY)? -> compare
    | sum "is" code -> is_
?code: STRING | INT | TRUE | FALSE
?sum: product | product (SIGN product)+ -> add
?product: primary | NUMBER "*" primary -> scale | INT "*" primary -> scale | primary "/" primary -> ratio
?primary: QUANTITY | NUMBER | INT | STRING | PATH | WORD | TRUE | FALSE | list | record
    | "(" value ")" -> group
    | "not" "(" value ")" -> not_
    | "abs" "(" value ")" -> absolute
    | "linear" "(" weighed ("," weighed)* ")" -> linear
    | "constant" "(" QUANTITY ")" -> constant
    | "rise" "(" value ")" -> rise
    | "fall" "(" value ")" -> fall
    | "always" interval? "(" value ")" -> always
    | "eventually" interval? "(" value ")" -> eventually
    | "historically" interval? "(" value ")" -> historically
    | "once" interval? "(" value ")" -> once
weighed: (NUMBER | INT) "*" primary
interval: "[" QUANTITY "," QUANTITY "]"
list: "[" [value ("," value)*] "]"
record: "{" [argument ("," argument)*] "}"

TRUE: "true"
FALSE: "false"
RELATION: "<=" | "<" | ">=" | ">"
SIGN: "+" | "-"
ID: /[a-z0-9][a-z0-9_.-]*/
QUANTITY.3: /-?(\d+(\.\d+)?([eE][+-]?\d+)?)[ ]+([A-Za-z%][A-Za-z0-9%]*([.\/][A-Za-z%][A-Za-z0-9%-]*)*|'[^'\n]*'|"(\\.|[^"\\\n])*")/
NUMBER.2: /-?(\d+\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+)/
INT.1: /-?\d+/
PATH.1: /[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*(\.[A-Za-z0-9_]+)+/
WORD: /[A-Za-z_][A-Za-z0-9_]*/
STRING: /"(\\.|[^"\\\n])*"/
%ignore /[ \t\r\n]+/
%ignore /#[^\n]*/
"""
