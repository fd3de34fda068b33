/**
 * The JavaScript of a package: a file for each entry, and for what entries share or load later.
 *
 * Node finds, reads and compiles a file at a time; importing the SDK with its 160 modules one by one took more than
 * twice the time of these (docs/decisions/0010). Other packages stay imports, so that a class is the same for all
 * who import it, and their barrels are imported by path (scripts/Barrels.ts). Types are not bundled.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "esbuild"
import { type Barrels, importByPath } from "./Barrels.ts"
import { type Package, sourceEntries } from "./Publishable.ts"

/** Writes a package's JavaScript and its source maps into `dist`. */
export const bundle = async (pack: Package, barrels: Barrels): Promise<void> => {
  const { metafile } = await build({
    absWorkingDir: pack.folder,
    entryPoints: [...sourceEntries(pack)],
    outdir: "dist",
    outbase: "src",
    chunkNames: "internal/[name]-[hash]",
    bundle: true,
    splitting: true,
    packages: "external",
    format: "esm",
    platform: "node",
    target: "es2023",
    sourcemap: true,
    metafile: true,
    tsconfig: join(pack.folder, "tsconfig.json"),
    logLevel: "warning"
  })
  for (const path of Object.keys(metafile.outputs).filter((output) => output.endsWith(".js"))) {
    const file = join(pack.folder, path)
    writeFileSync(file, importByPath(`${pack.name}/${path}`, readFileSync(file, "utf8"), barrels))
  }
}
