export interface Label {
  readonly kind: string
  readonly subkind: string
  readonly start: number
  readonly end: number
}
export interface Line {
  readonly id: string
  readonly text: string
  readonly labels: ReadonlyArray<Label>
  readonly class: "positive" | "evasion" | "hard_negative" | "benign"
  readonly tags: ReadonlyArray<string>
  readonly source: string
}
export const generate: (options?: { readonly seed?: number }) => ReadonlyArray<Line>
export const luhnOk: (digits: string) => boolean
