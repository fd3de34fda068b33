/** The text of a file that a command names, or one line that says why there is none. */
import { Effect, FileSystem } from "effect"
import { CommandFailed } from "./Platform.ts"

const WHY: { readonly [reason: string]: string } = {
  NotFound: "there is no such file",
  PermissionDenied: "it may not be read by this user",
  BadResource: "it is no file"
}

/** Reads a file; `what` names it in the failure, such as ``the seed `seed.yaml` ``. */
export const readText = Effect.fnUntraced(function* (path: string, what = `\`${path}\``) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.readFileString(path).pipe(
    Effect.mapError(
      ({ reason }) =>
        new CommandFailed({
          message: `cannot read ${what}: ${WHY[reason._tag] ?? "it is not readable"}`
        })
    )
  )
})
