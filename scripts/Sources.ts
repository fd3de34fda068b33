/** The repository's own source files, read and parsed once for all checks that look into them. */
import { readdirSync, readFileSync } from "node:fs"
import { basename, join, relative, sep } from "node:path"
import { type ParseResult, parseSync } from "oxc-parser"

/** A node of the syntax tree, as ESTree and TS-ESTree name it. */
export interface Node {
  readonly type: string
  /** Offset in the text. */
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

/** A parsed file. */
export interface Source {
  /** Below the root, with `/`. */
  readonly path: string
  readonly text: string
  readonly program: Node
  readonly comments: ParseResult["comments"]
  /** What the parser refused, if anything. */
  readonly errors: ReadonlyArray<string>
}

/** Something wrong, and where. */
export interface Finding {
  readonly path: string
  /** From 1. */
  readonly line: number
  /** What is wrong and what to do. */
  readonly message: string
}

const skipped = new Set(["node_modules", "dist", "coverage", ".git", ".tsbuild"])

/** Paths of all files below `root` that end in one of `endings`, sorted; without what is built or installed and without what tests look at (`test/fixtures`). */
export const listFiles = (root: string, endings: ReadonlyArray<string>): ReadonlyArray<string> => {
  const found: Array<string> = []
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (skipped.has(entry.name)) continue
      if (entry.name === "fixtures" && basename(folder) === "test") continue
      const path = join(folder, entry.name)
      if (entry.isDirectory()) visit(path)
      else if (endings.some((ending) => entry.name.endsWith(ending))) {
        found.push(relative(root, path).split(sep).join("/"))
      }
    }
  }
  visit(root)
  return found.sort()
}

/** A file's text, parsed. */
export const parse = (path: string, text: string): Source => {
  const result = parseSync(path, text, { sourceType: "module" })
  const program: unknown = result.program
  if (!isNode(program)) throw new Error(`the parser gave no tree for \`${path}\``)
  return {
    path,
    text,
    program,
    comments: result.comments,
    errors: result.errors.map((error) => error.message)
  }
}

const endings = [".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs"]

/** All TypeScript and JavaScript below `root`, parsed. */
export const readSources = (root: string): ReadonlyArray<Source> =>
  listFiles(root, endings).map((path) => parse(path, readFileSync(join(root, path), "utf8")))

/** True for a value that is a node of the tree. */
export const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

/** A node below `node` under `key`, if there is one. */
export const child = (node: Node | undefined, key: string): Node | undefined => {
  const value = node?.[key]
  return isNode(value) ? value : undefined
}

/** The nodes of a list below `node` under `key`. */
export const children = (node: Node | undefined, key: string): ReadonlyArray<Node> => {
  const value = node?.[key]
  return Array.isArray(value) ? value.filter(isNode) : []
}

/** Visits every node below and including `node`, parents first. */
export const walk = (node: Node, visit: (node: Node, parent: Node | undefined) => void): void => {
  const step = (current: Node, parent: Node | undefined): void => {
    visit(current, parent)
    for (const key of Object.keys(current)) {
      const value = current[key]
      if (Array.isArray(value)) {
        for (const item of value) if (isNode(item)) step(item, current)
      } else if (isNode(value)) step(value, current)
    }
  }
  step(node, undefined)
}

/** The text of a string literal or of a template without parts; undefined for anything else. */
export const literal = (node: Node | undefined): string | undefined => {
  if (node === undefined) return undefined
  if (node.type === "Literal") return typeof node["value"] === "string" ? node["value"] : undefined
  if (node.type === "TSLiteralType") return literal(child(node, "literal"))
  if (node.type !== "TemplateLiteral" || children(node, "expressions").length > 0) return undefined
  return cooked(children(node, "quasis")[0])
}

/** The text of one piece of a template. */
export const cooked = (quasi: Node | undefined): string | undefined => {
  const value = quasi?.["value"]
  if (typeof value !== "object" || value === null || !("cooked" in value)) return undefined
  return typeof value.cooked === "string" ? value.cooked : undefined
}

/** The line of an offset, from 1. */
export const lineOf = (text: string, offset: number): number => {
  let line = 1
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) line++
  return line
}
