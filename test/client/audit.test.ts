import { describe, expect, it } from 'vitest'
import { parseAuditLog, verifyAuditLog } from '../../src/client/audit.ts'
import { describeVectors, readVectors } from '../support/vectors.ts'

interface Row {
  did: string
  nullified: boolean
}

describeVectors('audit logs of directories', () => {
  for (const { name, json } of readVectors('plc/valid')) {
    const rows = json as Row[]
    const did = rows[0]?.did ?? ''

    it(`verifies ${name}, its nullified flags too`, () => {
      const chain = verifyAuditLog(did, parseAuditLog(JSON.stringify(rows)))
      expect(chain.links.map((link) => link.nullified)).toEqual(rows.map((row) => row.nullified))
    })

    it(`refuses ${name} with any flag turned, any operation in effect left out but the last, or for another DID`, () => {
      for (const [i, row] of rows.entries()) {
        const turned = rows.with(i, { ...row, nullified: !row.nullified })
        expect(() => verifyAuditLog(did, parseAuditLog(JSON.stringify(turned)))).toThrow('nullified is')
        const gap = rows.toSpliced(i, 1)
        if (i < rows.length - 1 && !row.nullified) expect(() => verifyAuditLog(did, parseAuditLog(JSON.stringify(gap)))).toThrow()
      }
      expect(() => verifyAuditLog('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', parseAuditLog(JSON.stringify(rows)))).toThrow('of another DID')
    })
  }

  for (const { name, json } of readVectors('plc/invalid')) {
    it(`refuses ${name}`, () => {
      const rows = json as Row[]
      expect(() => verifyAuditLog(rows[0]?.did ?? '', parseAuditLog(JSON.stringify(rows)))).toThrow()
    })
  }
})

describe('the text of an audit log', () => {
  it('has to be a JSON array of records', () => {
    expect(() => parseAuditLog('{')).toThrow('Malformed JSON')
    expect(() => parseAuditLog('{}')).toThrow('not an array')
    expect(() => parseAuditLog('[1]')).toThrow('not an object')
    expect(parseAuditLog('[]')).toEqual([])
  })

  it('is counted before any of it is read, where somebody says how many records there may be', () => {
    expect(() => parseAuditLog('[0,0,0]', 2)).toThrow('3 operations')
  })
})
