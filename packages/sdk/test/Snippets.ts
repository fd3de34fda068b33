/**
 * Snippets of the pages in docs/: taken by chapter, run, and typed.
 *
 * A snippet runs as the body of a function: what it imports comes from `modules`, and the names that its reader
 * would have are given. Its types are checked apart, all of a page in one run of the compiler.
 */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** A block of a page between fences. */
export interface Snippet {
  /** The page without its folder, such as `sdk.md`. */
  readonly page: string
  readonly chapter: string
  /** What stands behind the opening fence. */
  readonly language: string
  readonly code: string
  /** The line of the opening fence. */
  readonly line: number
}

/** A page of docs/. */
export const textOf = (page: string): string => readFileSync(join(root, "docs", page), "utf8")

/** All blocks of a page, in its order. */
export const snippetsOf = (page: string): ReadonlyArray<Snippet> => {
  const text = textOf(page)
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(
    ({ index, 1: language = "", 2: code = "" }) => {
      const before = text.slice(0, index)
      const chapter = [...before.matchAll(/^## (.*)$/gm)].at(-1)?.[1] ?? ""
      return { page, chapter, language, code, line: before.split("\n").length }
    }
  )
}

/** JavaScript whose imports are of `modules`. */
const body = (code: string): string =>
  stripTypeScriptTypes(code).replace(
    /^import (\{[^}]*\}) from ("[^"]*")$/gm,
    (_, names: string, from: string) => `const ${names.replaceAll(" as ", ": ")} = modules[${from}]`
  )

/** Values by the names that a snippet uses and does not make; `modules` is what it imports from. */
export interface Given {
  readonly modules: { readonly [from: string]: object }
  readonly [name: string]: unknown
}

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as FunctionConstructor

/** Runs a snippet, awaits the programs that it starts, and answers what `answer` is at its end. */
export const run = async ({ code }: Snippet, given: Given, answer = "undefined"): Promise<unknown> => {
  const awaited = body(code).replace(/^(?=\w+(\(|\.pipe\())/gm, "await ")
  return new AsyncFunction(...Object.keys(given), `${awaited}\nreturn ${answer}`)(...Object.values(given))
}

/** The same at once, for a snippet that awaits nothing. */
export const runSync = ({ code }: Snippet, given: Given, answer = "undefined"): unknown =>
  new Function(...Object.keys(given), `${body(code)}\nreturn ${answer}`)(...Object.values(given))

const options = {
  noEmit: true,
  declaration: false,
  sourceMap: false,
  inlineSources: false,
  rewriteRelativeImportExtensions: false,
  noUnusedLocals: false
}

/** What the compiler is told of the names that snippets use and do not make. */
export interface Known {
  /** Global ones, which a snippet may declare itself; without `declare`. */
  readonly declarations: string
  /** Statements in one line: what a browser declares otherwise. */
  readonly shadows: string
}

/**
 * What the compiler says of snippets; empty when it has nothing to say. A file is named as its page and its line, and
 * errors have the lines of the page.
 */
export const typeErrors = (
  snippets: ReadonlyArray<Snippet>,
  { declarations, shadows }: Known
): Promise<string> => {
  mkdirSync(join(root, ".tsbuild"), { recursive: true })
  const folder = mkdtempSync(join(root, ".tsbuild/snippets-"))
  const files = snippets.map(({ code, line, page }) => {
    const name = `${page}-${line}.ts`
    writeFileSync(join(folder, name), `export {}; ${shadows}${"\n".repeat(line)}${code}`)
    return name
  })
  writeFileSync(join(folder, "given.ts"), `export {}\ndeclare global {${declarations}}`)
  const config = {
    extends: "../../tsconfig.base.json",
    compilerOptions: options,
    files: [...files, "given.ts"]
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  return new Promise<string>((resolve) =>
    execFile(process.execPath, [compiler, "-p", folder], { cwd: folder }, (error, stdout, stderr) =>
      resolve(error === null ? "" : stdout + stderr || error.message)
    )
  ).finally(() => rmSync(folder, { recursive: true }))
}
