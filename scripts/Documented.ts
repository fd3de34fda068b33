/**
 * The public surface: every name that a published package exports has a doc comment.
 *
 * Followed from the `exports` of the manifests through `export … from`, and into namespaces, whose names are public
 * too. A schema and its type, or overloads, are one name: one comment does. A module's header is its manual and
 * not the comment of what comes first. Which members need one, too, stands in `Members.ts`.
 *
 * **Gotchas**: what comes from another package is looked at there, if it is exported there.
 */
import { posix } from "node:path"
import { hasComment, type Member, membersOf } from "./Members.ts"
import { publicPackages } from "./Publishable.ts"
import { child, children, type Finding, lineOf, type Node, type Source } from "./Sources.ts"

/** A name that users can import, where it is declared. */
interface PublicName {
  /** With its namespaces, such as `Trust.tierOf`. */
  readonly name: string
  readonly path: string
  /** From 1. */
  readonly line: number
  readonly documented: boolean
  /** Those that need a comment of their own. */
  readonly members: ReadonlyArray<Member>
}

/** What a module exports under a name: a declaration, or all of a module. */
type Target =
  | { readonly _tag: "Declaration"; readonly path: string; readonly name: string }
  | { readonly _tag: "Namespace"; readonly path: string }

type Exports = ReadonlyMap<string, Target>

type Declaration = Pick<PublicName, "line" | "documented" | "members">

const word = (node: Node | undefined): string => String(node?.["name"] ?? node?.["value"])

/** The module that a statement takes from; undefined: one of another package, or none. */
const origin = (source: Source, statement: Node): string | undefined => {
  const from = child(statement, "source")?.["value"]
  return typeof from === "string" && from.startsWith(".")
    ? posix.join(posix.dirname(source.path), from)
    : undefined
}

/** The declaration of a statement: exported, or for itself. */
const declarationOf = (statement: Node): Node | undefined =>
  child(statement, "declaration") ?? (/Declaration$/.test(statement.type) ? statement : undefined)

const namesOf = (declaration: Node): ReadonlyArray<string> =>
  declaration.type === "VariableDeclaration"
    ? children(declaration, "declarations").map((one) => word(child(one, "id")))
    : child(declaration, "id") === undefined
      ? []
      : [word(child(declaration, "id"))]

/** What a module declares, by name. */
const declarations = (source: Source): ReadonlyMap<string, Declaration> => {
  const found = new Map<string, Declaration>()
  for (const statement of children(source.program, "body")) {
    const declaration = declarationOf(statement)
    if (declaration === undefined) continue
    for (const name of namesOf(declaration)) {
      const known = found.get(name)
      found.set(name, {
        line: known?.line ?? lineOf(source.text, statement.start),
        documented: known?.documented === true || hasComment(source, statement, 1),
        members: [...(known?.members ?? []), ...membersOf(source, declaration)]
      })
    }
  }
  return found
}

/** Reads what modules export, each once. */
const reader = (sources: ReadonlyMap<string, Source>) => {
  const known = new Map<string, Exports>()

  const exportsOf = (path: string): Exports => {
    const source = sources.get(path)
    if (source === undefined) throw new Error(`\`${path}\` is exported from, and is no source`)
    const found = known.get(path) ?? new Map(readExports(source))
    known.set(path, found)
    return found
  }

  /** A name that is imported, where it comes from; undefined: from another package, or not imported. */
  const imported = (source: Source): ReadonlyMap<string, Target | undefined> => {
    const found = new Map<string, Target | undefined>()
    for (const statement of children(source.program, "body")) {
      if (statement.type !== "ImportDeclaration") continue
      const from = origin(source, statement)
      for (const one of children(statement, "specifiers")) {
        const whole = one.type === "ImportNamespaceSpecifier"
        const target = (path: string) =>
          whole ? ({ _tag: "Namespace", path } as const) : exportsOf(path).get(word(child(one, "imported")))
        found.set(word(child(one, "local")), from === undefined ? undefined : target(from))
      }
    }
    return found
  }

  const specifiers = (source: Source, statement: Node): ReadonlyArray<readonly [string, Target]> => {
    const from = origin(source, statement)
    if (from === undefined && child(statement, "source") !== undefined) return []
    // Modules may import each other: only who exports what it imported is followed.
    const own = from === undefined ? imported(source) : undefined
    return children(statement, "specifiers").flatMap((one): ReadonlyArray<readonly [string, Target]> => {
      const name = word(child(one, "local"))
      const target: Target | undefined =
        from !== undefined
          ? exportsOf(from).get(name)
          : own?.has(name)
            ? own.get(name)
            : { _tag: "Declaration", path: source.path, name }
      return target === undefined ? [] : [[word(child(one, "exported")), target]]
    })
  }

  const readExports = (source: Source): ReadonlyArray<readonly [string, Target]> =>
    children(source.program, "body").flatMap((statement): ReadonlyArray<readonly [string, Target]> => {
      if (statement.type === "ExportAllDeclaration") {
        const path = origin(source, statement)
        if (path === undefined) return []
        const name = child(statement, "exported")
        return name === undefined ? [...exportsOf(path)] : [[word(name), { _tag: "Namespace", path }]]
      }
      if (statement.type !== "ExportNamedDeclaration") return []
      const declaration = child(statement, "declaration")
      if (declaration === undefined) return specifiers(source, statement)
      return namesOf(declaration).map((name) => [name, { _tag: "Declaration", path: source.path, name }])
    })

  return exportsOf
}

/** Every name that the modules at `entries` export, each declaration once, in the order of the entries. */
export const publicNames = (
  sources: ReadonlyArray<Source>,
  entries: ReadonlyArray<string>
): ReadonlyArray<PublicName> => {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const exportsOf = reader(byPath)
  const declared = new Map<string, ReadonlyMap<string, Declaration>>()
  const found = new Map<string, PublicName>()
  const modules = new Set<string>()
  const visit = (path: string, prefix: string): void => {
    if (modules.has(path)) return
    modules.add(path)
    for (const [name, target] of exportsOf(path)) {
      const source = byPath.get(target.path)
      if (target._tag === "Namespace") visit(target.path, `${prefix}${name}.`)
      else if (source !== undefined && !found.has(`${target.path} ${target.name}`)) {
        const own = declared.get(target.path) ?? declarations(source)
        declared.set(target.path, own)
        const declaration = own.get(target.name) ?? { documented: false, line: 1, members: [] }
        found.set(`${target.path} ${target.name}`, { name: prefix + name, path: target.path, ...declaration })
      }
    }
  }
  for (const entry of entries) visit(entry, "")
  return [...found.values()]
}

const sourceOf = (entry: unknown): ReadonlyArray<string> =>
  typeof entry === "object" &&
  entry !== null &&
  "@agion/source" in entry &&
  typeof entry["@agion/source"] === "string"
    ? [entry["@agion/source"]]
    : []

/** The modules that the published packages below `root` export. */
export const publicEntries = (root: string): ReadonlyArray<string> =>
  publicPackages(root).flatMap(({ folder, manifest }) =>
    Object.values(manifest["exports"] ?? {})
      .flatMap(sourceOf)
      .map((path) => posix.join("packages", posix.basename(folder), path))
  )

/** Public names, and members of theirs, without a doc comment. */
export const checkDocumented = (
  sources: ReadonlyArray<Source>,
  entries: ReadonlyArray<string>
): ReadonlyArray<Finding> =>
  publicNames(sources, entries).flatMap((found) =>
    [found, ...found.members.map((member) => ({ ...member, name: `${found.name}.${member.name}` }))]
      .filter(({ documented }) => !documented)
      .map(({ line, name }) => ({
        path: found.path,
        line,
        message: `\`${name}\` is public and has no doc comment; say what it is, its units, ranges and errors`
      }))
  )
