/**
 * Unicode look-alikes, folded to what a reader sees: invisible characters vanish, full-width, mathematical and
 * enclosed letters, look-alikes of other scripts, digits of any script, dashes and spaces become ASCII.
 */
import { type View, ViewBuilder } from "./View.ts"

/** An ASCII character, then what looks like it. */
const LOOK_ALIKES =
  "2ƧƻϨᒿꙄꛯꝚ3ƷȜЗЭҘӠⳌꝪꞫ4ЧᏎ5Ƽ6бᏮⳒ7𐓒8Ȣȣ𐌚9ⳊꝮAΑАᎪᗅꓮ𐊠BΒВᏴᗷꓐꞴ𐊂𐊡𐌁CСҪᏟ₡Ⲥꓚ𐊢𐌂𐐕DÐĐƉᎠᗞᗪꓓEƩɆΕΣЕᎬ∃⋿ⴹꓰ𐊆FƑϜᖴꓝꞘ𐊇" +
  "𐊥GǤԌᏀᏳꓖHĦΗНҢӇӉᎻᕼⱧⲎꓧ𐋏IΙІӀӏᛁⲒⵏꓲJɈͿЈᎫᒍꓙꞲKΚКҚҞᏦᛕ₭ⱩⲔꓗꝀLŁᏞᒪⳐꓡ𐐛MΜϺМӍᎷᗰᛖⲘꓟ𐊰𐌑NƝΝИⲚꓠOØƟΘΟθОѲӨՕଠዐᎾᏫ⊖⊝" +
  "⍬◯Ⲟⴱⵁⵔ〇ꓳꝊ𐊒𐊫𐐄𐓂PΡРᏢᑭⲢꓑ𐊕QⵕRƦЯᎡᏒᖇꓣ𐒴SЅՏᏕᏚꓢ𐊖𐐠TŦƮȾΤТҬᎢ₮⊤⍡⟙Ⲧꓔ𐊗𐊱𐌕UɄՍሀᏌᑌ∪⋃ꓴ𐓎VѴᏙᐯⴸꓦꛟWԜᎳᏔ₩ꓪXΧХҲ᙭ᚷ╳ⲬⵝꓫꞳ" +
  "𐊐𐊴𐌗𐌢Y¥ɎΥУҮҰᎩᎽⲨꓬ𐊲ZƵȤΖᏃꓜaɑαаӕᴀẚ⍶⍺bƀƂƃƄɓʙБЬвѢѣҌҍᏏᖯc¢ȼϲсҫᴄⲥꮯ𐐽dđƌɖɗԁᏧᑯᴅ₫ꓒeᴇɇεеэєҽҿԑ℮ⲉꬲfƒքᵮẝꜰꞙꬵgƍ" +
  "ǥɠɡɢցᶃhħɦʜнћңһհᏂᏲꚕiıɨɩɪιіᎥᵻᵼ⍳⍸ꙇꭵjɉϳјᴊkĸƙκкᴋⲕlłƖƗƚǀɫɭʟ׀וןاߊⅼ∣⏽𐊊𐌉𐌠￨mмᴍnƞɳɴηпոռᵰⲛoøɵοσоѳөօסهഠ" +
  "တဝჿᴏᴑⲟꝋꬽꬾꭴꮎꮻ𐐬𐓪pþƥρрᴘᵽ⍴ⲣqɋʠԛգզrɍɼɽʀгяғᴦᵲⲅꭇꭈꮁsƽʂѕᵴꜱꮪ𐑈tŧƭτтᴛᵵuʋμυцսᴜᵾꞟꭎꭒꮜ𐓶vνѵטᴠ∨⋁ꮩwɯωшщѡѽԝաᴡⲱ" +
  "ꝡꮃx×χжхᕁᕽ᙮⤫⤬⨯⨰ⲭyƴɏɣʏγуўүұყᶌỿꭚzƶȥʐзᴢᵶꮓ" +
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

/** The number 1 to 10 in a circle, black or without serifs; 0 for anything else. */
const enclosedDigit = (code: number): number =>
  code >= 0x2776 && code <= 0x2793
    ? ((code - 0x2776) % 10) + 1
    : code >= 0x24f5 && code <= 0x24fe
      ? code - 0x24f4
      : 0

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
  const enclosed = enclosedDigit(code)
  if (enclosed > 0) return String(enclosed)
  if (code === 0x24ff || code === 0x1f10b || code === 0x1f10c) return "0"
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
  if (code < 0x10000) {
    builder.keep(at, at + 1)
    return at + 1
  }
  const end = code >= 0xe0000 && code <= 0xe007f ? tagRun(text, at) : at
  if (end - at >= TAGS_MIN * 2) {
    for (let i = at; i < end; i += 2) {
      const unit = (text.codePointAt(i) ?? 0) - 0xe0000
      if (unit >= 32 && unit < 127) builder.put(unit, i, i + 2)
    }
    return end
  }
  const seen = shown(code)
  if (seen === undefined) builder.keep(at, at + 2)
  else putText(builder, seen, at, at + 2)
  return at + 2
}

/** The view without look-alikes. */
export const fold = (view: View): View => {
  const { text } = view
  const builder = new ViewBuilder(view)
  let kept = 0
  for (let i = 0; i < text.length; ) {
    const unit = text.charCodeAt(i)
    const pair = unit >= 0xd800 && unit < 0xdc00
    const to = unit < 128 ? KEEP : pair ? SLOW : unitOf(unit)
    if (to === KEEP) {
      i++
      continue
    }
    builder.keep(kept, i)
    if (pair) i = foldPair(builder, text, i)
    else {
      if (to === SLOW) putText(builder, shown(unit) ?? "", i, i + 1)
      else if (to !== GONE) builder.put(to, i, i + 1)
      i++
    }
    kept = i
  }
  builder.keep(kept, text.length)
  return builder.build()
}
