import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import { findBackEnds, noble, openssl, type BackEnd } from '../../src/native/back-ends.ts'
import { SELF_TEST_CASES } from '../../src/native/self-test-cases.ts'
import { chooseBackEnds, nameOf, passesSelfTest } from '../../src/native/self-test.ts'
import { renderSelfTest } from '../support/signature-cases.ts'

const CURVES = ['k256', 'p256'] as const

describe('the self-test', () => {
  it('is written down as it is made: node scripts/make-self-test.ts', () => {
    expect(readFileSync(join(import.meta.dirname, '..', '..', 'src', 'native', 'self-test-cases.ts'), 'utf8')).toBe(renderSelfTest())
  })

  it.each(CURVES)('asks about %s what the core answers so too', (curve) => {
    for (const { name, message, sig, keys, answer } of SELF_TEST_CASES[curve]) expect([name, findSigner({ message: utf8Encode(message), sig, keys })]).toEqual([name, answer])
  })

  it.each(CURVES)('is passed for %s by every back end that this machine has', (curve) => {
    for (const backEnd of findBackEnds()) if (backEnd.curves.includes(curve)) expect([backEnd.name, passesSelfTest(backEnd, curve)]).toEqual([backEnd.name, true])
  })

  it.each(CURVES)('fails a back end for %s that lies or fails', (curve) => {
    for (const liar of liars(openssl)) expect([liar.name, passesSelfTest(liar, curve)]).toEqual([liar.name, false])
  })

  it('fails a back end that lies about a single case, whichever it is', () => {
    for (const curve of CURVES) {
      let checks = 0
      const count = (lieAt: number): BackEnd => ({
        ...noble,
        open(curve, key) {
          const check = noble.open(curve, key)
          return check && ((signature, message) => check(signature, message) !== (checks++ === lieAt))
        },
      })
      expect(passesSelfTest(count(-1), curve)).toBe(true)
      const made = checks
      expect(made).toBeGreaterThan(15)
      for (let lieAt = 0; lieAt < made; lieAt++) {
        checks = 0
        expect([lieAt, passesSelfTest(count(lieAt), curve)]).toEqual([lieAt, false])
      }
    }
  })
})

describe('the choice of back ends', () => {
  it('passes over one that lies, and its name says what is in use', () => {
    for (const liar of liars(openssl)) expect(nameOf(chooseBackEnds([liar, noble]))).toBe('noble')
    const [liar] = liars({ ...noble, name: 'liar', curves: ['k256'] })
    expect(liar && nameOf(chooseBackEnds([liar, openssl, noble]))).toBe('openssl')
  })

  it('takes for each curve the first that has it', () => {
    expect(nameOf(chooseBackEnds([{ ...openssl, curves: ['p256'] }, noble]))).toBe('noble + openssl')
    expect(nameOf(chooseBackEnds([noble]))).toBe('noble')
  })

  it('is an incident where nothing passes', () => {
    expect(() => chooseBackEnds([...liars(noble)])).toThrow('nothing here checks signatures of k256')
  })
})

function liars(honest: BackEnd): BackEnd[] {
  const lying = (name: string, open: BackEnd['open']): BackEnd => ({ ...honest, name, open })
  return [
    lying('says yes', () => () => true),
    lying('says no', (curve, key) => honest.open(curve, key) && (() => false)),
    lying('takes any key', (curve, key) => honest.open(curve, key) ?? (() => false)),
    lying('takes no key', () => null),
    lying('throws at keys', () => {
      throw new Error('broken')
    }),
    lying('throws at signatures', (curve, key) => honest.open(curve, key) && (() => {
      throw new Error('broken')
    })),
    lying('forgets the message', (curve, key) => {
      const check = honest.open(curve, key)
      return check && ((signature) => check(signature, utf8Encode('self-test')))
    }),
    lying('knows one curve alone', (curve, key) => honest.open(curve === 'k256' ? 'p256' : 'k256', key)),
  ]
}
