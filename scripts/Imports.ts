/**
 * Who may import whom: the table of packages, held by parsing every import.
 *
 * Static and dynamic imports, type-only ones, re-exports, `import("x")` in a type, `import x = require("x")`,
 * `require("x")`, `require.resolve`, `import.meta.resolve`, `process.getBuiltinModule` and reference directives
 * count alike. What cannot be read (a dynamic import of a computed name) is refused where a package must do no
 * I/O. Tests of a package may also import `@agion/testing`, redis-memory, Node's modules and the root's tools;
 * sdk and server never import each other, not even there.
 */
import { readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { join, posix } from "node:path"
import {
  child,
  children,
  type Finding,
  lineOf,
  listFiles,
  literal,
  type Node,
  type Source,
  walk
} from "./Sources.ts"

/** One import as it stands in a file. */
export interface Import {
  /** Undefined: computed, not known before it runs. */
  readonly specifier: string | undefined
  /** Names taken from the module; `*` for all of it. */
  readonly names: ReadonlyArray<string>
  readonly line: number
}

interface Rule {
  /** Workspace packages that the sources may import, without `@agion/`. */
  readonly packages: ReadonlyArray<string>
  /** More of them, below a folder of the package. */
  readonly below?: { readonly folder: string; readonly packages: ReadonlyArray<string> }
  /** No module of Node, and nothing of effect that does I/O. */
  readonly pure?: boolean
}

const everything = ["domain", "policy", "redis", "redis-memory", "sdk", "server", "cli"]

/** The table. A package that does not stand in it may not exist. */
export const table: { readonly [name: string]: Rule } = {
  domain: { packages: [], pure: true },
  policy: { packages: ["domain"], pure: true },
  redis: { packages: ["domain"] },
  "redis-memory": { packages: ["domain", "redis"] },
  sdk: {
    packages: ["domain", "policy", "redis"],
    below: { folder: "src/testing", packages: ["redis-memory"] }
  },
  server: { packages: ["domain", "policy", "redis"] },
  cli: { packages: everything.filter((name) => name !== "cli") },
  testing: { packages: everything },
  bench: { packages: [...everything, "testing"] },
  examples: { packages: everything }
}

/** Pairs that never meet, in tests neither. */
const apart: ReadonlyArray<readonly [string, string]> = [
  ["sdk", "server"],
  ["server", "sdk"]
]

/** Modules of effect that a pure package may import, and what in them reaches outside the process. */
const pureEffect: { readonly [specifier: string]: ReadonlySet<string> } = {
  effect: new Set(["FileSystem", "Path", "PlatformError", "Stdio", "Terminal", "Console", "*"]),
  "effect/encoding": new Set(),
  "effect/http-api": new Set([
    "HttpApiBuilder",
    "HttpApiClient",
    "HttpApiScalar",
    "HttpApiSwagger",
    "HttpApiTest",
    "*"
  ])
}

const builtins = new Set(builtinModules)

const isBuiltin = (specifier: string): boolean =>
  specifier.startsWith("node:") || builtins.has(specifier) || builtins.has(specifier.split("/")[0] ?? "")

const namesOf = (node: Node): ReadonlyArray<string> => {
  if (node.type === "ExportAllDeclaration") return ["*"]
  return children(node, "specifiers").map((specifier) => {
    if (specifier.type === "ImportNamespaceSpecifier") return "*"
    if (specifier.type === "ImportDefaultSpecifier") return "default"
    const name = child(specifier, specifier.type === "ExportSpecifier" ? "local" : "imported")
    return String(name?.["name"] ?? name?.["value"])
  })
}

const dotted = (node: Node | undefined): string => {
  if (node === undefined) return ""
  if (node.type === "Identifier") return String(node["name"])
  if (node.type === "MetaProperty") return "import.meta"
  if (node.type !== "MemberExpression") return ""
  const property = child(node, "property")
  return `${dotted(child(node, "object"))}.${literal(property) ?? String(property?.["name"])}`
}

const loaders = new Set([
  "require",
  "require.resolve",
  "module.require",
  "import.meta.resolve",
  "process.getBuiltinModule",
  "globalThis.process.getBuiltinModule"
])

/** The specifier that a node imports: undefined when it imports nothing, null when it is computed. */
const imported = (node: Node): string | null | undefined => {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return literal(child(node, "source")) ?? null
    case "ExportNamedDeclaration":
      return child(node, "source") === undefined ? undefined : (literal(child(node, "source")) ?? null)
    case "TSExternalModuleReference":
      return literal(child(node, "expression")) ?? null
    case "CallExpression":
      return loaders.has(dotted(child(node, "callee")))
        ? (literal(children(node, "arguments")[0]) ?? null)
        : undefined
    default:
      return undefined
  }
}

const reference = /^\/\s*<reference\s+(?:types|path)\s*=\s*["']([^"']+)["']/

/** Every import of a file, in whatever form. */
export const importsOf = (source: Source): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  walk(source.program, (node) => {
    const specifier = imported(node)
    if (specifier === undefined) return
    const names = node.type.endsWith("Declaration") ? namesOf(node) : ["*"]
    found.push({ specifier: specifier ?? undefined, names, line: lineOf(source.text, node.start) })
  })
  for (const comment of source.comments) {
    const specifier = comment.type === "Line" ? reference.exec(comment.value)?.[1] : undefined
    if (specifier !== undefined) {
      found.push({
        specifier: specifier === "node" ? "node:types" : specifier,
        names: ["*"],
        line: lineOf(source.text, comment.start)
      })
    }
  }
  return found
}

/** What a package declares in its manifest. */
export interface Manifest {
  /** Dependencies of what is published. */
  readonly dependencies: ReadonlySet<string>
  /** These and those for development. */
  readonly all: ReadonlySet<string>
}

interface Place {
  /** A key of the table. */
  readonly owner: string
  /** The folder of the package, below the root. */
  readonly folder: string
  /** True for its sources, false for its tests. */
  readonly isSource: boolean
  readonly rule: Rule
}

const placeOf = (path: string): Place | undefined => {
  const [top, second, third] = path.split("/")
  if (top === "examples") {
    return {
      owner: "examples",
      folder: "examples",
      isSource: false,
      rule: table["examples"] ?? { packages: [] }
    }
  }
  if (top !== "packages" || second === undefined) return undefined
  const rule = table[second]
  if (rule === undefined)
    return { owner: second, folder: `packages/${second}`, isSource: true, rule: { packages: [] } }
  return { owner: second, folder: `packages/${second}`, isSource: third === "src", rule }
}

/** What is not published may also use what is there for development. */
const unpublished = new Set(["testing", "bench", "examples"])

const isFramework = (name: string): boolean =>
  name === "effect" || name.startsWith("@effect/") || name === "vitest" || name === "@effect/vitest"

/** The package of a specifier: `@scope/name` or `name`. */
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

const relativeFault = (path: string, place: Place, specifier: string): string | undefined => {
  const target = posix.normalize(posix.join(posix.dirname(path), specifier))
  if (!target.startsWith(`${place.folder}/`)) {
    return `\`${specifier}\` leaves the package; import it by the package's name`
  }
  if (place.isSource && !target.startsWith(`${place.folder}/src/`) && !target.endsWith(".json")) {
    return `\`${specifier}\` leaves \`src\`; what is published cannot import it`
  }
  const ending = place.isSource ? /\.(?:ts|tsx|mts|json)$/ : /\.(?:ts|tsx|mts|mjs|js|json)$/
  if (!ending.test(target)) return `\`${specifier}\` must end in \`.ts\``
  return undefined
}

const workspaceFault = (path: string, place: Place, specifier: string): string | undefined => {
  const name = packageOf(specifier).slice("@agion/".length)
  if (name === place.owner && !place.isSource) return undefined
  if (apart.some(([from, to]) => from === place.owner && to === name)) {
    return `${place.owner} and ${name} never import each other; they meet in @agion/domain and @agion/policy`
  }
  const { below, packages } = place.rule
  if (packages.includes(name)) return undefined
  if (
    below !== undefined &&
    path.startsWith(`${place.folder}/${below.folder}`) &&
    below.packages.includes(name)
  ) {
    return undefined
  }
  if (!place.isSource && (name === "testing" || name === "redis-memory")) return undefined
  const allowed = ["effect", ...packages.map((allowed) => `@agion/${allowed}`)].join(", ")
  return `${place.owner} may import ${allowed}, not \`${specifier}\``
}

const pureFault = (place: Place, found: Import): string | undefined => {
  const { names, specifier } = found
  if (specifier === undefined)
    return `${place.owner} may not import what is computed: it cannot be seen what it is`
  if (isBuiltin(specifier)) return `${place.owner} does no I/O: no module of Node (\`${specifier}\`)`
  if (packageOf(specifier) !== "effect" && !specifier.startsWith("@effect/")) return undefined
  const impureNames = pureEffect[specifier]
  if (impureNames === undefined) return `${place.owner} does no I/O: nothing of \`${specifier}\``
  const impure = names.find((name) => impureNames.has(name))
  if (impure === undefined) return undefined
  return impure === "*"
    ? `${place.owner} imports from \`${specifier}\` by name, so that it is seen that it does no I/O`
    : `${place.owner} does no I/O: no \`${impure}\` of \`${specifier}\``
}

const externalFault = (place: Place, specifier: string, manifest: Manifest): string | undefined => {
  if (isBuiltin(specifier)) return undefined
  const name = packageOf(specifier)
  if (place.owner === "domain" && place.isSource && name !== "effect") {
    return `domain may import effect, not \`${specifier}\``
  }
  const strict = place.isSource && !unpublished.has(place.owner)
  if (strict ? manifest.dependencies.has(name) : manifest.all.has(name)) return undefined
  if (!place.isSource && isFramework(name)) return undefined
  return `\`${name}\` is not among the dependencies of ${place.folder}/package.json`
}

const faultOf = (path: string, place: Place, found: Import, manifest: Manifest): string | undefined => {
  if (place.isSource && table[place.owner] === undefined) {
    return `there is no package \`${place.owner}\` in the table; add it to scripts/Imports.ts`
  }
  const fault = place.isSource && place.rule.pure === true ? pureFault(place, found) : undefined
  if (fault !== undefined || found.specifier === undefined) return fault
  const { specifier } = found
  if (specifier.startsWith(".")) return relativeFault(path, place, specifier)
  if (specifier.startsWith("/") || specifier.startsWith("file:")) {
    return `\`${specifier}\` is a path of one machine`
  }
  if (specifier.startsWith("@agion/")) return workspaceFault(path, place, specifier)
  return externalFault(place, specifier, manifest)
}

const nobody: Manifest = { dependencies: new Set(), all: new Set() }

/** What breaks the table in these sources; manifests by folder of the package, the root's under "". */
export const checkImports = (
  sources: ReadonlyArray<Source>,
  manifests: ReadonlyMap<string, Manifest>
): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  for (const source of sources) {
    const place = placeOf(source.path)
    if (place === undefined) continue
    if (source.errors.length > 0) {
      findings.push({ path: source.path, line: 1, message: `does not parse: ${source.errors[0]}` })
    }
    const own = manifests.get(place.folder) ?? nobody
    const root = manifests.get("") ?? nobody
    const manifest = { dependencies: own.dependencies, all: new Set([...own.all, ...root.all]) }
    for (const found of importsOf(source)) {
      const message = faultOf(source.path, place, found, manifest)
      if (message !== undefined) findings.push({ path: source.path, line: found.line, message })
    }
  }
  return findings
}

type Names = { readonly [name: string]: string } | undefined

/** The manifests of the root and of every package below it. */
export const readManifests = (root: string): ReadonlyMap<string, Manifest> => {
  const manifests = new Map<string, Manifest>()
  for (const path of listFiles(root, ["package.json"])) {
    const json = JSON.parse(readFileSync(join(root, path), "utf8")) as {
      readonly dependencies?: Names
      readonly peerDependencies?: Names
      readonly devDependencies?: Names
    }
    const dependencies = new Set(
      [json.dependencies, json.peerDependencies].flatMap((d) => Object.keys(d ?? {}))
    )
    const all = new Set([...dependencies, ...Object.keys(json.devDependencies ?? {})])
    manifests.set(posix.dirname(path) === "." ? "" : posix.dirname(path), { dependencies, all })
  }
  return manifests
}
