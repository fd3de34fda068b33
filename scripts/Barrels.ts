/**
 * Imports of a built file by path, where its source takes names out of a barrel.
 *
 * `import { Effect } from "effect"` loads every module of `effect`; `import * as Effect from "effect/Effect"` loads
 * what `Effect` needs and is the same object. Sources keep the first, which reads better; the build writes the
 * second into `dist`. A line stays a line, so source maps hold; types are not touched.
 *
 * Barrels are those entries of `effect` whose file is an `index.js`. Other packages are imported as they are.
 *
 * **Gotchas**: a dynamic `import("effect/http")` stays; write `import("effect/http/HttpClient")` in the source.
 */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { child, children, lineOf, type Node, parse } from "./Sources.ts"

/** Where a barrel has a name from: a module of its own, or a name in one. */
export interface Origin {
  /** A path that is exported, such as `effect/http/HttpClient`. */
  readonly specifier: string
  /** Undefined: the module itself. */
  readonly name: string | undefined
}

/** What a barrel exports, by name; undefined for what is no barrel. */
export type Barrels = (specifier: string) => ReadonlyMap<string, Origin> | undefined

const word = (node: Node | undefined): string => String(node?.["name"] ?? node?.["value"])

/** The exports of a barrel's text: `export * as X from "./X.js"` and `export { x } from "./X.js"`. */
export const readBarrel = (specifier: string, text: string): ReadonlyMap<string, Origin> => {
  const origins = new Map<string, Origin>()
  for (const node of children(parse(specifier, text).program, "body")) {
    const source = child(node, "source")
    const path = /^\.\/(\w+)\.js$/.exec(word(source))?.[1]
    if (path === undefined)
      throw new Error(
        `the barrel \`${specifier}\` has \`${text.slice(node.start, node.end)}\`, which is no export of a module beside it; teach scripts/Barrels.ts to read it`
      )
    const from = `${specifier}/${path}`
    const exported = child(node, "exported")
    if (node.type === "ExportAllDeclaration" && exported !== undefined)
      origins.set(word(exported), { specifier: from, name: undefined })
    else if (node.type === "ExportNamedDeclaration")
      for (const one of children(node, "specifiers"))
        origins.set(word(child(one, "exported")), { specifier: from, name: word(child(one, "local")) })
    else throw new Error(`the barrel \`${specifier}\` exports all of \`${from}\` without a name`)
  }
  return origins
}

interface Manifest {
  readonly exports: { readonly [path: string]: unknown }
}

/** The barrels of the `effect` that is installed below `root`. */
export const installedBarrels = (root: string): Barrels => {
  const folder = join(root, "node_modules/effect")
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest
  const known = new Map<string, ReadonlyMap<string, Origin>>()
  return (specifier) => {
    if (specifier !== "effect" && !specifier.startsWith("effect/")) return undefined
    const target = manifest.exports[specifier.replace(/^effect/, ".")]
    if (typeof target !== "string" || !target.endsWith("/index.js")) return undefined
    const barrel = known.get(specifier) ?? readBarrel(specifier, readFileSync(join(folder, target), "utf8"))
    known.set(specifier, barrel)
    for (const origin of barrel.values()) {
      const file = join(folder, dirname(target), `${origin.specifier.split("/").at(-1)}.js`)
      if (!existsSync(file)) throw new Error(`\`${origin.specifier}\` is not at \`${file}\``)
    }
    return barrel
  }
}

/** One name of an import by its path. */
const byPath = (specifier: Node, from: string, barrel: ReadonlyMap<string, Origin>): string => {
  if (specifier.type !== "ImportSpecifier")
    throw new Error(`all of \`${from}\` is imported; import what is used by name`)
  const name = word(child(specifier, "imported"))
  const local = word(child(specifier, "local"))
  const origin = barrel.get(name)
  if (origin === undefined) throw new Error(`\`${from}\` exports no \`${name}\``)
  const source = JSON.stringify(origin.specifier)
  return origin.name === undefined
    ? `import * as ${local} from ${source};`
    : `import { ${origin.name === local ? local : `${origin.name} as ${local}`} } from ${source};`
}

const statement = (node: Node, barrels: Barrels): string | undefined => {
  const from = word(child(node, "source"))
  const barrel = child(node, "source") === undefined ? undefined : barrels(from)
  if (barrel === undefined) return undefined
  if (node.type !== "ImportDeclaration")
    throw new Error(`names of \`${from}\` are exported again; import them and export what is used`)
  return children(node, "specifiers")
    .map((specifier) => byPath(specifier, from, barrel))
    .join(" ")
}

/** The text of a built file with its imports of barrels by path. Throws at a name that a barrel does not have. */
export const importByPath = (path: string, text: string, barrels: Barrels): string => {
  let done = ""
  let at = 0
  for (const node of children(parse(path, text).program, "body")) {
    try {
      const replaced = statement(node, barrels)
      if (replaced === undefined) continue
      // As many lines as before: what follows stays where its source map says.
      const lines = text.slice(node.start, node.end).split("\n").length - 1
      done += text.slice(at, node.start) + replaced + "\n".repeat(lines)
      at = node.end
    } catch (error) {
      throw new Error(
        `${path}:${lineOf(text, node.start)}: ${error instanceof Error ? error.message : error}`
      )
    }
  }
  return done + text.slice(at)
}
