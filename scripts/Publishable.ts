/**
 * What is published: each package's `dist` with a manifest of its own.
 *
 * Inside the repository a package resolves to its sources by the condition `@agion/source`; below `node_modules`
 * Node strips no types, and npm reads no `publishConfig.exports`. So the build writes `dist/package.json`, where
 * the condition is gone and every path is that of a built file, and `dist` is what is packed.
 */
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { listFiles } from "./Sources.ts"

type Json = { readonly [key: string]: unknown }

/** A package that is published. */
export interface Package {
  readonly name: string
  readonly folder: string
  readonly manifest: Json
}

/** What the published packages need: `@effect/platform-node` asks for it. */
const engines = { node: ">=22.19.0" }

/** The packages of the workspace that are not private, in the order of their folders. */
export const publicPackages = (root: string): ReadonlyArray<Package> =>
  readdirSync(join(root, "packages"))
    .sort()
    .map((name) => join(root, "packages", name))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map((folder) => {
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Json
      return { name: String(manifest["name"]), folder, manifest }
    })
    .filter(({ manifest }) => manifest["private"] !== true)

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `./src/x.ts` as it lies in what is published: `./x.js`. */
const built = (path: string): string => path.replace(/^\.\/src\//, "./").replace(/\.ts$/, ".js")

/** One target of `exports`: null stays, a condition of the sources becomes the built file and its types. */
const publishedTarget = (name: string, target: unknown): unknown => {
  if (target === null) return null
  const source = isObject(target) ? target["@agion/source"] : target
  if (typeof source !== "string" || !source.startsWith("./src/")) {
    throw new Error(`${name}: an export needs \`"@agion/source": "./src/…"\`, not ${JSON.stringify(target)}`)
  }
  const file = built(source)
  return { types: file.replace(/\.js$/, ".d.ts"), default: file }
}

const mapValues = (object: unknown, f: (value: unknown) => unknown): Json | undefined =>
  isObject(object)
    ? Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]))
    : undefined

/** A package's manifest as it is published. */
export const publishedManifest = ({ manifest, name }: Package): Json => {
  const {
    devDependencies: _,
    files: __,
    private: ___,
    publishConfig: ____,
    scripts: _____,
    ...rest
  } = manifest
  const bin = mapValues(manifest["bin"], (path) => built(String(path)))
  return {
    ...rest,
    engines: manifest["engines"] ?? engines,
    exports: mapValues(manifest["exports"], (target) => publishedTarget(name, target)),
    ...(bin === undefined ? {} : { bin }),
    publishConfig: { access: "public" }
  }
}

/** The sources of what can be imported or run, below the package's folder. */
export const sourceEntries = ({ manifest }: Package): ReadonlyArray<string> => {
  const exported = Object.values(isObject(manifest["exports"]) ? manifest["exports"] : {})
  const run = Object.values(isObject(manifest["bin"]) ? manifest["bin"] : {})
  return [...exported.map((target) => (isObject(target) ? target["@agion/source"] : target)), ...run].filter(
    (path) => typeof path === "string"
  )
}

/** Takes out of `dist` all JavaScript, which is bundled next, and types that no source stands behind any more. */
export const removeStale = ({ folder }: Package): void => {
  const dist = join(folder, "dist")
  if (!existsSync(dist)) return
  for (const path of listFiles(dist, [".js", ".d.ts", ".js.map"])) {
    const source = join(folder, "src", path.replace(/\.d\.ts$/, ".ts"))
    if (!path.endsWith(".d.ts") || !existsSync(source)) rmSync(join(dist, path))
  }
}

const sourceShebang = /^#!.*\n/

/** Lays the manifest, licence, read-me and what is no TypeScript into a built package's `dist`. */
export const finish = (root: string, pack: Package): void => {
  const dist = join(pack.folder, "dist")
  const manifest = publishedManifest(pack)
  writeFileSync(join(dist, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`)
  writeFileSync(join(dist, ".npmignore"), ".tsbuildinfo\n*.tgz\n")
  cpSync(join(root, "LICENSE"), join(dist, "LICENSE"))
  const readme = [join(pack.folder, "README.md"), join(root, "README.md")].find(existsSync)
  if (readme !== undefined) cpSync(readme, join(dist, "README.md"))
  for (const path of listFiles(join(pack.folder, "src"), [""])) {
    if (!path.endsWith(".ts"))
      cpSync(join(pack.folder, "src", path), join(dist, dirname(path), path.split("/").at(-1) ?? ""))
  }
  for (const path of Object.values(isObject(manifest["bin"]) ? manifest["bin"] : {})) {
    const file = join(dist, String(path))
    writeFileSync(file, `#!/usr/bin/env node\n${readFileSync(file, "utf8").replace(sourceShebang, "")}`)
    chmodSync(file, 0o755)
  }
}
