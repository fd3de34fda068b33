import { loadRe2 } from "@agion/policy"
import { assert, beforeAll, describe, it } from "@effect/vitest"
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
      "a{0,1000}a{0,1000}"
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
