/**
 * The RE2 engine, loaded when a pattern needs it and then kept.
 */
import { hasRe2, installRe2 } from "./cel/Regex.ts"

/** Loads `re2js` once; patterns that are not harmless natively can be compiled afterwards. */
export const loadRe2 = async (): Promise<void> => {
  if (hasRe2()) return
  const { RE2JS } = await import("re2js")
  installRe2((pattern) => {
    const program = RE2JS.compile(pattern)
    return { test: (text) => program.test(text) }
  })
}
