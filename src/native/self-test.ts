// Which back ends may be used: those that answer a fixed set of questions as the portable implementation does.

import { assert } from '../core/errors.ts'
import { utf8Encode } from '../core/encoding/text.ts'
import type { Curve } from '../core/plc/did-key.ts'
import { findBackEnds, noble, type BackEnd, type BackEnds } from './back-ends.ts'
import { signerFinder } from './find-signer.ts'
import { SELF_TEST_CASES } from './self-test-cases.ts'

/** For each curve the first of the candidates that passes the self-test. An incident where none does. */
export function chooseBackEnds(candidates: readonly BackEnd[] = findBackEnds()): BackEnds {
  const first = (curve: Curve): BackEnd => {
    const chosen = candidates.find((backEnd) => backEnd.curves.includes(curve) && passesSelfTest(backEnd, curve))
    assert(chosen !== undefined, `nothing here checks signatures of ${curve} as it should`)
    return chosen
  }
  return { k256: first('k256'), p256: first('p256') }
}

/** Whether a back end answers every question about a curve as it has to be answered. */
export function passesSelfTest(backEnd: BackEnd, curve: Curve): boolean {
  const find = signerFinder({ k256: noble, p256: noble, [curve]: backEnd })
  try {
    return SELF_TEST_CASES[curve].every(({ message, sig, keys, answer }) => find({ message: utf8Encode(message), sig, keys }) === answer)
  } catch {
    return false
  }
}

/** The name of what is in use, such as `libsecp256k1 + openssl`. */
export function nameOf({ k256, p256 }: BackEnds): string {
  return [...new Set([k256.name, p256.name])].join(' + ')
}
