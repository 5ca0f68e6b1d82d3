import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { makeOperationKey, parseOperationKey, readKeyArgument, readOperationKey } from '../../src/cli/operation-key.ts'
import { writeSecretFile } from '../../src/secret-file.ts'
import { hex } from '../../src/core/encoding/text.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import { base58 } from '@scure/base'

const folder = mkdtempSync(join(tmpdir(), 'stele-keys-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('a key for operations', () => {
  it('signs after it was written and read as before, on both curves', () => {
    for (const curve of ['k256', 'p256'] as const) {
      const path = join(folder, `${curve}.key`)
      const made = makeOperationKey(curve)
      writeSecretFile(path, made.secret)
      const { signer } = readOperationKey(path)
      expect(signer.did).toBe(made.signer.did)
      const message = Uint8Array.of(1, 2, 3)
      expect(findSigner({ message, sig: signer.sign(message), keys: [made.signer.did] })).toBe(0)
    }
  })

  it('is the multibase secret of a Multikey', () => {
    const secret = hex.decode('9085d2bef69286a6cbb51623c8fa258629945cd55ca705cc4e66700396894e0c')
    const k256 = `z${base58.encode(Uint8Array.from([0x81, 0x26, ...secret]))}`
    const p256 = `z${base58.encode(Uint8Array.from([0x86, 0x26, ...secret]))}`
    // A test vector of the did:key method for secp256k1.
    expect(parseOperationKey(k256, 'it').signer.did).toBe('did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme')
    expect(parseOperationKey(p256, 'it').signer.did).toMatch(/^did:key:zDn/)
  })

  it('is nothing else, and what it is not is never shown', () => {
    const { secret } = makeOperationKey('k256')
    const zero = `z${base58.encode(Uint8Array.from([0x81, 0x26, ...new Uint8Array(32)]))}`
    for (const text of ['', 'z', secret.slice(1), `${secret}1`, secret.slice(0, -1), secret.toUpperCase(), zero, 'PRIVATE+KEY+secret', 'z'.repeat(1_000)]) {
      expect(() => parseOperationKey(text, 'a file')).toThrow('a file does not hold the secret of a key')
      const error: unknown = verdictOf(() => parseOperationKey(text, 'a file'))
      if (text.length > 3) expect(String(error)).not.toContain(text)
    }
  })

  it('is not shown where its secret was given in the place of its file', () => {
    const { secret } = makeOperationKey('k256')
    for (const text of [secret, 'ab'.repeat(32), 'PRIVATE+KEY+x+00000000+abc']) {
      for (const read of [readOperationKey, readKeyArgument]) {
        const error = String(verdictOf(() => read(text)))
        expect(error).toContain('looks like the secret itself')
        expect(error).not.toContain(text)
      }
    }
  })

  it('is a file or a did:key in an argument', () => {
    const { signer, secret } = makeOperationKey('p256')
    const path = join(folder, 'argument.key')
    writeSecretFile(path, secret)
    expect(readKeyArgument(path).signer?.did).toBe(signer.did)
    expect(readKeyArgument(signer.did)).toEqual({ did: signer.did, signer: null })
    expect(() => readKeyArgument('did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK')).toThrow('not the did:key')
    expect(() => readKeyArgument(join(folder, 'missing'))).toThrow('ENOENT')
  })
})

describe('a file with a secret', () => {
  it('can be read by its owner alone, and is never overwritten', () => {
    const path = join(folder, 'deep', 'secret')
    writeSecretFile(path, 'one')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'deep')).mode & 0o777).toBe(0o700)
    expect(() => writeSecretFile(path, 'two')).toThrow('EEXIST')
    expect(readFileSync(path, 'utf8')).toBe('one\n')
  })

  it('is not written through a link', () => {
    const target = join(folder, 'target')
    writeFileSync(target, 'mine')
    symlinkSync(target, join(folder, 'link'))
    expect(() => writeSecretFile(join(folder, 'link'), 'two')).toThrow('EEXIST')
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
    expect(() => writeSecretFile(join(folder, 'dangling'), 'two')).toThrow('EEXIST')
  })
})

function verdictOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
