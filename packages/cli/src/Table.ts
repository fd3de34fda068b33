/** Rows as a table that a person reads. */

/** Aligned columns under their names; control characters are shown, never sent to the terminal. */
export const table = (
  columns: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | number | null | undefined>>
): string => {
  const cells = rows.map((row) => columns.map((_, i) => printable(row[i])))
  const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd()
  return [line(columns.map((name) => name.toUpperCase())), ...cells.map(line)].join("\n")
}

/** Text without anything that moves a cursor, changes a colour or turns the direction of writing. */
export const printable = (value: string | number | null | undefined): string =>
  value === null || value === undefined
    ? "-"
    : String(value).replace(
        /[\p{Cc}\p{Cf}]/gu,
        (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`
      )
