import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.slow.test.ts'],
    maxWorkers: 2,
    setupFiles: ['test/support/fixed-seed.ts'],
    testTimeout: 3_600_000,
    expect: { poll: { timeout: 30_000 } },
    hookTimeout: 3_600_000,
  },
})
