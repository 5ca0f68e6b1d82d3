import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { parseCheckpoint, signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { MAX_RETIRED_KEYS, openKeyStatement, signKeyStatement, type KeyStatement } from '../../../src/core/tlog/key-statement.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, signText, type SigningKey } from '../../../src/core/tlog/note.ts'

const ORIGIN = 'keys.test/log'
const key = (seed: number, type: number = KEY_TYPES.ed25519, name = ORIGIN): SigningKey => makeSigningKey(name, type, new Uint8Array(32).fill(seed))
const [A, B, C] = [key(1), key(2), key(3)]
const [M, N, O] = [1, 2, 3].map((seed) => key(seed, KEY_TYPES.mlDsa44)) as [SigningKey, SigningKey, SigningKey]
const say = (statement: Partial<KeyStatement>, keys: readonly SigningKey[]): string => signKeyStatement({ origin: ORIGIN, signing: [A], retired: [], ...statement }, keys)
const codeOf = (note: string, known: readonly SigningKey[]): string | undefined => verdictOf(() => openKeyStatement(note, known)).verdict?.code

describe('what a log says of its keys', () => {
  it('is believed by whoever knows one of them, a retired one too, if all that sign have signed it', () => {
    const note = say({ signing: [A, B, M], retired: [C, N] }, [A, B, C])
    for (const known of [[A], [B], [C], [A, B, C, M, N]]) {
      const { signing, retired } = openKeyStatement(note, known)
      expect([signing.map(({ id }) => id), retired.map(({ id }) => id)]).toEqual([[A, B, M].map(({ id }) => id), [C, N].map(({ id }) => id)])
    }
    expect(codeOf(note, [key(4)])).toBe('UNTRUSTED_NOTE')
    expect(codeOf(note, [M])).toBe('WRONG_ORIGIN')
    expect(codeOf(note, [key(1, KEY_TYPES.ed25519, 'another.test/log')])).toBe('WRONG_ORIGIN')
    expect(codeOf(say({ signing: [A, B] }, [A]), [A]), 'the new key has not signed').toBe('UNTRUSTED_NOTE')
    expect(codeOf(say({ signing: [A, B] }, [B]), [A]), 'the old one has not').toBe('UNTRUSTED_NOTE')
  })

  it('is refused after any change of its text', () => {
    const note = say({ signing: [A, B], retired: [C] }, [A, B])
    for (let i = 0; i < note.length; i++) {
      const changed = `${note.slice(0, i)}${note[i] === 'A' ? 'B' : 'A'}${note.slice(i + 1)}`
      expect(codeOf(changed, [A, B]), JSON.stringify(changed.slice(Math.max(0, i - 10), i + 10))).toEqual(expect.any(String))
    }
  })

  it('has one form', () => {
    const wrong: readonly Partial<KeyStatement>[] = [
      { signing: [] }, { signing: [M] }, { signing: [A, B, C] }, { signing: [A, M, N, O] }, { signing: [M, A] }, { signing: [A, A] }, { retired: [A] }, { signing: [A], retired: [B, B] },
      { signing: [A], retired: Array.from({ length: MAX_RETIRED_KEYS + 1 }, (_, i) => key(100 + i)) }, { origin: 'another.test/log' }, { retired: [key(4, KEY_TYPES.cosignature)] },
    ]
    for (const statement of wrong) expect(verdictOf(() => say(statement, [A])).verdict?.code).toBe('MALFORMED_NOTE')
    const { text } = parseNote(say({ signing: [A, B], retired: [C] }, [A]))
    const signs = (text: string): string => formatNote({ text, signatures: [A, B].map((key) => signText(text, key)) })
    expect(codeOf(signs(text), [A])).toBeUndefined()
    for (const other of [text.replace('v1', 'v2'), `${text}\n`, text.replace('retired', 'signs'), text.replace('signs ', 'signs  '), `${text}more\n`, `${text.trimEnd().split('\n').toSorted().join('\n')}\n`, 'stele keys v1\n']) expect(codeOf(signs(other), [A])).toBe('MALFORMED_NOTE')
  })

  it('never passes for a checkpoint, nor a checkpoint for it', () => {
    const { text } = parseNote(say({}, [A]))
    expect(verdictOf(() => parseCheckpoint(text)).verdict?.code).toBe('MALFORMED_CHECKPOINT')
    for (const origin of [ORIGIN, 'stele keys v1']) {
      const note = origin === ORIGIN ? signCheckpoint({ origin, size: 1, root: new Uint8Array(32) }, [A]) : formatNote({ text: `${origin}\n1\n`, signatures: [signText(`${origin}\n1\n`, A)] })
      expect(codeOf(note, [A])).toBe('MALFORMED_NOTE')
    }
  })
})
