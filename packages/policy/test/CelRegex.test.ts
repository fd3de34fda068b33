import { loadRe2 } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { RE2JS } from "re2js"
import { PatternFault, parsePattern } from "../src/cel/Pattern.ts"
import { matcher } from "../src/cel/Regex.ts"

const search = (pattern: string, text: string): boolean => {
  const found = matcher(pattern)
  if (!("test" in found)) throw new Error(found.message)
  return found.test(text)
}

const isNative = (pattern: string): boolean => {
  const found = matcher(pattern)
  return "test" in found && found.native
}

describe("regular expressions", () => {
  beforeAll(loadRe2)

  it("POLICY-6 runs harmless patterns natively and all others on the linear engine", () => {
    for (const p of [
      "abc",
      "\\d{3}-\\d{2}-\\d{4}",
      "^[a-z]+$",
      "^https?://[^/]+/",
      "a|b|c",
      ".*foo.*",
      "(?i)secret",
      "sk-[A-Za-z0-9]{20,24}"
    ]) {
      assert.isTrue(isNative(p), p)
    }
    for (const p of [
      "(a+)+$",
      "(a|a)*b",
      "[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}",
      "^(a?){20}a{20}$",
      "^.*a.*b$",
      "x+y",
      "\\p{Greek}",
      "(?m)^a",
      "(a|b|ab)*c",
      "a{0,1000}a{0,1000}",
      "a[ab]{500}c",
      "x(?i)secret",
      "(?i)\\W"
    ]) {
      assert.isFalse(isNative(p), p)
    }
  })

  it("POLICY-6 means the same natively as on the linear engine", () => {
    const patterns = [
      "abc",
      "a.c",
      "^abc$",
      "\\d{3}-\\d{2}",
      "[^a-c]x",
      "\\s",
      "\\S\\w\\W",
      "a?b?c?",
      "(ab|cd)e",
      "\\bfoo\\b",
      "a\\.b",
      "[\\d-]{2}",
      "\\x41",
      "\\x{1F600}",
      "[[:alpha:]][[:digit:]]",
      "(?i)straße",
      "(?i)k",
      "(?s)a.b",
      "$",
      "^",
      "",
      "\\Qa.b\\E",
      "[]a]",
      "[^]a]x",
      "\\pL",
      "\\101",
      "a{2}",
      "^[a-z]+\\d*$",
      "(?:x|y)z",
      "(?P<n>ab)c",
      "(?<n>ab)c",
      "é",
      ".",
      "\\z",
      "a\\z",
      "[a\\-z]",
      "[\\s,]b",
      "{",
      "a{",
      "a{,2}",
      "x{2,1}?"
    ]
    const texts = [
      "",
      "abc",
      "xabcx",
      "a\nc",
      "a\rc",
      "a\u2028c",
      "123-45",
      "dx",
      "ax",
      "\u00a0",
      "\u000b",
      "\t",
      "foo bar",
      "a.b",
      "aXb",
      "1-",
      "A",
      "😀",
      "b7",
      "STRASSE",
      "STRAßE",
      "K",
      "\u212a",
      "ab",
      "cde",
      "abe",
      "]",
      "bx",
      "é",
      "e\u0301",
      "aa",
      "zz9",
      "yz",
      "abc\n",
      "{",
      "a{,2}",
      "-",
      "z",
      ",b",
      "\u{1d400}"
    ]
    for (const pattern of patterns) {
      let theirs: ReturnType<typeof RE2JS.compile> | undefined
      try {
        theirs = RE2JS.compile(pattern)
      } catch {}
      const ours = matcher(pattern)
      if (theirs === undefined) {
        assert.isFalse("test" in ours, pattern)
        continue
      }
      for (const text of texts)
        assert.strictEqual(search(pattern, text), theirs.test(text), `${pattern} on ${JSON.stringify(text)}`)
    }
  })

  it("POLICY-6 is linear: what hangs a backtracking engine ends within the budget's terms", () => {
    const a = "a".repeat(20_000)
    for (const pattern of ["(a+)+$", "(a|aa)+$", "([a-z]+)*1", "(.*)*x", "^(a+)+$", "a*a*a*a*b"]) {
      assert.isFalse(search(pattern, `${a}!`), pattern)
    }
  })

  it("POLICY-6 heeds flags inside a pattern before it looks for a literal", () => {
    for (const pattern of [
      "^(?i)secret",
      "(?i:secret)",
      "(?s)(?i)secret",
      "(^|[^a-z])(?i:secret)",
      "(?i)(?-i:S)ECRET",
      "s?(?i)ecret"
    ]) {
      assert.isTrue(search(pattern, "SECRET plan"), pattern)
    }
    assert.isFalse(search("(?i:x)secret", "XSECRET"))
    assert.isTrue(search("(?i:x)secret", "Xsecret"))
    assert.isFalse(search("((?i)x)secret", "XSECRET"))
    assert.isTrue(search("x(?i)s|ecret", "ECRET"))
  })

  it("POLICY-6 folds no class that RE2 does not fold", () => {
    for (const pattern of [
      "(?i)\\W",
      "(?i)[\\W]",
      "(?i)[[:^alpha:]]",
      "(?i)\\w",
      "(?i)[[:alpha:]]",
      "(?i)[^\\W]"
    ]) {
      const theirs = RE2JS.compile(pattern)
      for (const text of ["s", "k", "S", "K", "\u017f", "\u212a", "-", "é"])
        assert.strictEqual(search(pattern, text), theirs.test(text), `${pattern} on ${text}`)
    }
    assert.isTrue(search("a\\_b", "a_b"))
  })

  const parts = [
    "a",
    "K",
    "s",
    "ab",
    "ſ",
    "\\w",
    "\\W",
    "\\d",
    "[a-k]",
    "[^S]",
    ".",
    "\\b",
    "[[:upper:]]",
    "é",
    "\\_"
  ]
  const flags = ["(?i)", "(?s)", "(?-i)", "(?i:", "(?-i:", "(?s-i:", "(", "|"]
  const Piece = Schema.Struct({
    flag: Schema.Literals(["", "", "", ...flags]),
    part: Schema.Literals(parts),
    times: Schema.Literals(["", "", "", "?", "+", "{2}", "{0,2}"])
  })
  const Pieces = Schema.Array(Piece).check(Schema.isMaxLength(5))
  const Text = Schema.Array(
    Schema.Literals([
      "a",
      "A",
      "k",
      "K",
      "\u212a",
      "s",
      "S",
      "\u017f",
      "b",
      "B",
      "ab",
      "AB",
      "é",
      "É",
      "1",
      "-",
      "_",
      "\n",
      " "
    ])
  ).check(Schema.isMaxLength(6))

  it.prop(
    "POLICY-6 a pattern with flags anywhere means what RE2 says",
    [Pieces, Schema.Array(Text).check(Schema.isMinLength(12), Schema.isMaxLength(12))],
    ([pieces, texts]) => {
      let open = 0
      let pattern = ""
      for (const { flag, part, times } of pieces) {
        pattern += flag + part + (part === "\\b" ? "" : times)
        if (flag === "(" || flag.endsWith(":")) open++
        else if (open > 0 && times === "+") {
          pattern += ")"
          open--
        }
      }
      pattern += ")".repeat(open)
      const theirs = RE2JS.compile(pattern)
      for (const letters of texts) {
        const text = letters.join("")
        assert.strictEqual(search(pattern, text), theirs.test(text), `${pattern} on ${JSON.stringify(text)}`)
      }
    },
    { arbitrary: { runs: 600 } }
  )

  const costOf = (pattern: string, text: string): number => {
    const found = matcher(pattern)
    if (!("test" in found)) throw new Error(found.message)
    return found.cost(text)
  }

  it("POLICY-6 charges a search by the steps that it may need", () => {
    const text = "ab".repeat(8_192)
    for (const pattern of ["a[ab]{500}c?", "(a?){100}[ab]{800}[^a]", "([ab]{1,30}){30}[0-9]"])
      assert.isAbove(costOf(pattern, text), 100_000, pattern)
    // Twice the text is twice the work, and a longer pattern more than a short one.
    assert.isAtLeast(costOf("[ab]{0,9}c?", text + text), 2 * costOf("[ab]{0,9}c?", text) - 2)
    assert.isAbove(costOf("[ab]{0,6}[0-9]", text), costOf("[ab]{0,2}[0-9]", text))
  })

  it("POLICY-6 leaves ordinary patterns far below the budget", () => {
    const text = "please @ ignore: AKIA eyJ sk- -----BEGIN http ".repeat(360)
    for (const pattern of [
      "[A-Za-z0-9+/=]{64,}",
      "\\b[A-Z0-9]{16,32}\\b",
      "[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}",
      "(?i)(drop|delete|truncate)\\s+(table|database|schema)",
      "(?i)password\\s*[:=]\\s*\\S+",
      "https?://[^\\s/]+\\.(?:ru|cn|onion)(?:/|$)",
      "AKIA[0-9A-Z]{16}",
      "sk-[A-Za-z0-9]{20,24}",
      "\\d{3}-\\d{2}-\\d{4}",
      "\\b(?:password|passwd|secret|token)\\b",
      "-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    ]) {
      assert.isBelow(costOf(pattern, text), 2_000, pattern)
    }
    for (const pattern of [
      "(?i)\\b(?:ignore|disregard|forget)\\b.{0,40}\\b(?:previous|prior|above)\\b.{0,40}\\b(?:instructions|rules)\\b",
      "\\b(?:\\d[ -]?){13,19}\\b"
    ]) {
      assert.isBelow(costOf(pattern, text), 30_000, pattern)
    }
  })

  it("refuses what RE2 does not have, with its name", () => {
    const message = (pattern: string): string => {
      try {
        parsePattern(pattern)
        return "accepted"
      } catch (problem) {
        return problem instanceof PatternFault ? problem.message : String(problem)
      }
    }
    assert.include(message("(?=a)"), "look-ahead")
    assert.include(message("(?<!a)"), "look-behind")
    assert.include(message("(a)\\1"), "back-references")
    assert.include(message("(?>a)"), "atomic")
    assert.include(message("a++"), "possessive")
    assert.include(message("a{2000}"), "not within")
    assert.include(message("((a{100}){100}){100}"), "stands for more")
    assert.include(message("a**"), "repeats a repetition")
    assert.include(message("[z-a]"), "backwards")
    assert.include(message("*a"), "nothing stands before")
    assert.include(message("("), "not closed")
    assert.include(message("a)"), "too many")
    assert.include(message("\\"), "backslash")
    assert.include(message("(".repeat(60)), "nests more than")
    assert.include(message("x".repeat(2_000)), "longer than")
  })
})
