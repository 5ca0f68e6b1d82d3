import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { formatDidKey, multikeyCurve, type Curve } from '../../src/core/plc/did-key.ts'
import { findBackEnds } from '../../src/native/back-ends.ts'

// About half of all x have a point, so that each of these is asked of many keys that are none.
it('every back end knows the same keys as the core does', () => {
  for (const curve of ['k256', 'p256'] as const satisfies Curve[]) {
    const verdicts = new Set<boolean>()
    for (let n = 0; n < 300; n++) {
      const x = n === 0 ? new Uint8Array(32) : n === 1 ? new Uint8Array(32).fill(255) : new Uint8Array(createHash('sha256').update(`${curve} ${n}`).digest())
      const key = Uint8Array.of(n % 2 === 0 ? 2 : 3, ...x)
      const known = multikeyCurve(formatDidKey({ curve, bytes: key })) === curve
      verdicts.add(known)
      for (const backEnd of findBackEnds().filter(({ curves }) => curves.includes(curve))) {
        expect([backEnd.name, curve, n, backEnd.open(curve, key) !== null]).toEqual([backEnd.name, curve, n, known])
      }
    }
    expect(verdicts.size).toBe(2)
  }
})

it('no did:key has another first byte or another length', () => {
  for (const curve of ['k256', 'p256'] as const satisfies Curve[]) {
    const x = new Uint8Array(createHash('sha256').update('point').digest())
    for (const first of [0, 1, 4, 5, 6, 7, 255]) expect(multikeyCurve(formatDidKey({ curve, bytes: Uint8Array.of(first, ...x) }))).toBeNull()
    for (const length of [0, 1, 32, 34, 65]) expect(multikeyCurve(formatDidKey({ curve, bytes: new Uint8Array(length).fill(2) }))).toBeNull()
  }
})
