/**
 * Unicode look-alikes, folded to what a reader sees: invisible characters vanish, full-width, mathematical and
 * enclosed letters, look-alikes of other scripts, digits of any script, dashes and spaces become ASCII.
 */
import { type View, ViewBuilder } from "./View.ts"

/** An ASCII character, then what looks like it. */
const LOOK_ALIKES =
  "2ƧꙄᒿƻ3ꞫȜƷꝪⳌЗӠҘЭ4Ꮞ5Ƽ6ⳒбᏮ8ଃȣȢ9ꝮⳊ" +
  "AΑАᎪᗅꓮᴀ𐊠∀BꞴΒВᏴᗷꓐʙв𐊂CϹⲤСᏟᏣꓚⅭ𐌂ҪDᎠᗞᗪꓓĐÐƉᴅEΕЕⴹᎬꓰɆᴇΣ𐊆FꞘϜᖴꓝƑꜰ𐊇GԌᏀᏳꓖǤɢHΗⲎНᎻᕼꓧⱧҢĦӉӇʜн" +
  "IΙІӀⲒꓲᛁⵏІJꞲͿЈᎫᒍꓙɈᴊKΚⲔКᏦᛕꓗⱩҚꝀҞᴋLⳐᏞᒪꓡŁʟMΜϺⲘМᎷᗰᛖꓟӍᴍмNΝⲚꓠƝɴИOΟⲞОՕⵔዐଠꓳØⵁǾƟꝊθϑΘϴӨѲ〇" +
  "PΡⲢРᏢᑭꓑᴘ𐊕QⵕԚRƦᎡᏒᖇꓣʀЯSЅՏᏕᏚꓢ𐊖TΤⲦТᎢꓔȾƮҬŦᴛт𐊗UՍሀᑌꓴɄᏌVѴⴸᏙᐯꓦWԜᎳᏔꓪ₩X᙭ᎲꭓꞳΧⲬХⵝꓫҲᚷ╳YΥϒⲨУҮᎩᎽꓬɎҰ" +
  "ZΖᏃꓜƵȤⲌaɑαаbƄЬᏏɓƃɃƀҍѣცcᴄϲⲥсȼҫꮯdԁᏧᑯɗɖƌđժeе℮ꬲҽɇҿəєεⲉfꬵꞙẝքƒſgɡᶃƍցɠǥhһհᏂɦꚕħћნ" +
  "iıɪɩιіꙇᎥɨӏꭵjϳјɉkκкƙⲕlǀƖℓןוاƚɫłɭⅼmⅿɱոnռɳƞηпոⲛoᴏοσⲟоჿօסهഠဝøɵꝋөѳ໐pρϱⲣрƥքþqԛգզʠ" +
  "rꭇᴦⲅгɽɼɍғꮁsꜱƽѕʂꮪtƭŧτuᴜʋυսцꭎvᴠνѵטꮩwɯᴡѡԝաωшⲱꮃxхᕁᕽ×χⲭyɣʏỿγуүყƴɏұzᴢʐƶȥꮓ" +
  "-−⁃˗ー➖𐆑.․‧。｡۔·_ˍ‗﹍﹎﹏:։׃∶ː꞉܃⁝/∕⁄╱⟋⧸@﹫=᐀═⹀゠꓿+᛭➕~∼〜"

const KEEP = 0xffff
const SLOW = 0xfffe
const GONE = 0xfffd

const NONE = /^[\p{Default_Ignorable_Code_Point}\p{Cf}\p{M}\u200b-\u200f\u180e]$/u
const DASH = /^\p{Pd}$/u
const SPACE = /^[\p{Zs}\u2800\u3164]$/u
const DIGIT = /^\p{Nd}$/u
const MARKS = /\p{M}/gu
const ASCII = /^[\x20-\x7e]{1,4}$/

const lookAlikes = new Map<number, number>()
{
  let target = 0
  for (const character of LOOK_ALIKES) {
    const code = character.codePointAt(0) ?? 0
    if (code < 128) target = code
    else if (!lookAlikes.has(code)) lookAlikes.set(code, target)
  }
}

/** The value of a decimal digit of any script: every script's ten stand in a row, from a multiple of 16 or 6 behind. */
const digitValue = (code: number): number => {
  const low = code & 15
  return low <= 9 && DIGIT.test(String.fromCodePoint(code - low)) ? low : (low + 10) & 15
}

/** What `code` shows as; `undefined`: itself; `""`: nothing. */
const shown = (code: number): string | undefined => {
  const character = String.fromCodePoint(code)
  if (NONE.test(character)) return ""
  const alike = lookAlikes.get(code)
  if (alike !== undefined) return String.fromCharCode(alike)
  if (DASH.test(character)) return "-"
  if (SPACE.test(character)) return " "
  if (code === 0x2028 || code === 0x2029 || code === 0x85) return "\n"
  if (code >= 0x1f150 && code <= 0x1f189 && (code - 0x1f150) % 32 < 26) {
    return String.fromCharCode(65 + ((code - 0x1f150) % 32))
  }
  if (code >= 0x1f1e6 && code <= 0x1f1ff) return String.fromCharCode(65 + code - 0x1f1e6)
  const plain = character.normalize("NFKD").replace(MARKS, "")
  if (ASCII.test(plain)) return plain.replace(/^\((.{1,2})\)$|^(\d{1,2})\.$/, "$1$2")
  if (DIGIT.test(character)) return String(digitValue(code))
  const base = plain === "" ? undefined : lookAlikes.get(plain.codePointAt(0) ?? 0)
  return base === undefined ? undefined : String.fromCharCode(base)
}

/** What a code unit of the basic plane folds to, filled in as units are met. */
let known: Uint16Array | undefined

const unitOf = (unit: number): number => {
  known ??= new Uint16Array(65536)
  const found = known[unit] ?? 0
  if (found !== 0) return found
  const text = shown(unit)
  const answer = text === undefined ? KEEP : text === "" ? GONE : text.length > 1 ? SLOW : text.charCodeAt(0)
  known[unit] = answer
  return answer
}

const TAGS_MIN = 8

/** The end of a run of tag characters (U+E0020–U+E007E, ASCII that no screen shows) that begins at `at`. */
const tagRun = (text: string, at: number): number => {
  let i = at
  while (text.charCodeAt(i) === 0xdb40 && (text.charCodeAt(i + 1) & 0xff80) === 0xdc00) i += 2
  return i
}

const putText = (builder: ViewBuilder, text: string, from: number, to: number): void => {
  for (let i = 0; i < text.length; i++) builder.put(text.charCodeAt(i), from, to)
}

const foldPair = (builder: ViewBuilder, text: string, at: number): number => {
  const code = text.codePointAt(at) ?? 0
  if (code < 0x10000) return at + 1
  const end = code >= 0xe0000 && code <= 0xe007f ? tagRun(text, at) : at
  if (end - at >= TAGS_MIN * 2) {
    for (let i = at; i < end; i += 2) {
      const unit = (text.codePointAt(i) ?? 0) - 0xe0000
      if (unit >= 32 && unit < 127) builder.put(unit, i, i + 2)
    }
    return end
  }
  const seen = shown(code)
  if (seen === undefined) {
    builder.keep(at)
    builder.keep(at + 1)
  } else putText(builder, seen, at, at + 2)
  return at + 2
}

/** The view without look-alikes. */
export const fold = (view: View): View => {
  const { text } = view
  const builder = new ViewBuilder(view)
  for (let i = 0; i < text.length; ) {
    const unit = text.charCodeAt(i)
    if (unit < 128) builder.keep(i++)
    else if (unit >= 0xd800 && unit < 0xdc00) i = foldPair(builder, text, i)
    else {
      const to = unitOf(unit)
      if (to === SLOW) putText(builder, shown(unit) ?? "", i, i + 1)
      else if (to === KEEP) builder.keep(i)
      else if (to !== GONE) builder.put(to, i, i + 1)
      i++
    }
  }
  return builder.build()
}
