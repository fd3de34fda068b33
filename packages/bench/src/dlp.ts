/**
 * DLP over 2 KB: clean prose, source, text in other scripts, a finding; the floor is one native regular expression
 * that only looks for the words with which secrets begin.
 */
import { Dlp } from "@agion/policy"
import { floor, ours, type Suite, sync } from "./Bench.ts"

const SIZE = 2048

const filled = (part: string): string => part.repeat(Math.ceil(SIZE / part.length)).slice(0, SIZE)

const prose = filled(
  "The quarterly report was approved by the finance team before lunch, and nobody asked for a refund. Our agent " +
    "summarised a 40-page contract; see https://example.com/docs/policy for details. On 26 November 2026 at 10:30 we " +
    'shipped 3 releases: the risk-based approach works, "as expected".\n\n'
)
const source = filled(
  "export const decode = (input: string): Result => {\n  const token = lexer.next(input)\n" +
    '  if (token.kind === "string") return { value: token.text, at: 0x1f }\n  return fail(token.kind, [1, 2, 3])\n}\n'
)
const cyrillic = filled("Отчёт за квартал утверждён до обеда, и никто не просил вернуть деньги. ")
const finding = `${prose.slice(0, 1024)} pay with ${["4539", "1488", "0343", "6467"].join(" ")} ${prose.slice(0, 1000)}`

const WORDS =
  /sk-|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abp]-|AIza|[sr]k_live_|npm_|hf_|SG\.|eyJ|-----BEGIN|:\/\/[^\s/]*:|passw|secret|token|api_?key|@|\d{3}-\d{2}-\d{4}|\d{13}/i

/** The texts with a counter behind them: no call sees the string of the one before. */
const varied = (text: string): ReadonlyArray<string> =>
  Array.from({ length: 64 }, (_, i) => `${text.slice(0, SIZE - 3)} ${String.fromCharCode(97 + (i % 26))}.`)

const at = (texts: ReadonlyArray<string>, i: number): string => texts[i % texts.length] ?? ""

export const suite: Suite = {
  name: "dlp",
  run: async (bench) => {
    const dlp = Dlp.make()
    for (const text of [prose, source, cyrillic]) {
      if (dlp.scan(text) !== Dlp.clean) throw new Error("a clean text is not clean")
    }
    if (dlp.scan(finding).decision !== "block") throw new Error("the card is not found")
    const [clean, code, other, dirty] = [prose, source, cyrillic, finding].map(varied)
    const results = await bench.compare("2 KB", [
      floor(
        "one regular expression over clean prose",
        sync((i) => WORDS.test(at(clean ?? [], i)))
      ),
      ours(
        "clean prose, every view on",
        sync((i) => dlp.scan(at(clean ?? [], i)))
      ),
      ours(
        "source text",
        sync((i) => dlp.scan(at(code ?? [], i)))
      ),
      ours(
        "prose in Cyrillic, folded",
        sync((i) => dlp.scan(at(other ?? [], i)))
      ),
      ours(
        "prose with a card number",
        sync((i) => dlp.scan(at(dirty ?? [], i)))
      ),
      ours(
        "the same, redacted",
        sync((i) => dlp.redact(at(dirty ?? [], i)))
      )
    ])
    for (const { name, p50_ns } of results) bench.note(`${name}: ${((SIZE / p50_ns) * 1000).toFixed(0)} MB/s`)
  }
}
