/** How the story is printed: steps, facts and a small chart, in colour on a terminal. */

const colours = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined

const paint = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text)

export const bold = paint(1)
export const dim = paint(2)
export const red = paint(31)
export const green = paint(32)
export const yellow = paint(33)
export const cyan = paint(36)

/** One line on standard output. */
export const say = (text = ""): void => {
  process.stdout.write(`${text}\n`)
}

/** The heading of a step. */
export const step = (number: number, title: string): void => {
  say()
  say(bold(cyan(`${number}  ${title}`)))
}

/** Something that happened, with what it was. */
export const fact = (what: string, value: string): void => say(`   ${what.padEnd(46)} ${value}`)

export const allowed = (text: string): string => green(`allowed  ${text}`)
export const denied = (text: string): string => red(`denied   ${text}`)

/** Milliseconds as a person reads them: `0.012 ms`, `34 ms`. */
export const millis = (ms: number): string =>
  ms < 1 ? `${ms.toFixed(3)} ms` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`

const blocks = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]

/** Scores from 0 to 100 as a line of blocks. */
export const chart = (scores: ReadonlyArray<number>): string =>
  scores.map((score) => blocks[Math.min(7, Math.floor((score / 100) * 8))]).join("")
