// Reads a log with torchwood's client, and checks receipts with its verifier of tlog-proofs.
//
//	torchwood log LOG_URL VERIFIER_KEY            every entry of the log, each authenticated, and some by themselves
//	torchwood receipt VERIFIER_KEY RECEIPT LEAF   that the receipt in a file proves the leaf in another
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	var err error
	switch os.Args[1] {
	case "log":
		err = readLog(context.Background(), os.Args[2], os.Args[3])
	case "receipt":
		err = checkReceipt(os.Args[2], os.Args[3], os.Args[4])
	}
	if err != nil {
		log.Fatalf("refused: %v", err)
	}
}

func policyOf(key string) (torchwood.Policy, error) {
	return torchwood.ParsePolicy(fmt.Appendf(nil, "log %s\nquorum none\n", key))
}

func readLog(ctx context.Context, logURL, key string) error {
	policy, err := policyOf(key)
	if err != nil {
		return err
	}
	fetcher, err := torchwood.NewTileFetcher(logURL)
	if err != nil {
		return err
	}
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		return err
	}
	next := int64(0)
	leaves := make([][]byte, 0, checkpoint.N)
	for index, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		if index != next {
			return fmt.Errorf("entry %d came where %d was due", index, next)
		}
		leaves = append(leaves, bytes.Clone(entry))
		next++
	}
	if err := client.Err(); err != nil {
		return err
	}
	if next != checkpoint.N {
		return fmt.Errorf("%d entries of %d", next, checkpoint.N)
	}
	for index := int64(0); index < checkpoint.N; index += 1 + checkpoint.N/50 {
		entry, proof, err := client.Entry(ctx, checkpoint.Tree, index)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, checkpoint.N, checkpoint.Hash, index, tlog.RecordHash(entry)); err != nil {
			return err
		}
		if !bytes.Equal(entry, leaves[index]) {
			return fmt.Errorf("entry %d is another when it is asked for by itself", index)
		}
	}
	fmt.Printf("%d entries under %x\n", checkpoint.N, checkpoint.Hash[:])
	return nil
}

func checkReceipt(key, receiptFile, leafFile string) error {
	policy, err := policyOf(key)
	if err != nil {
		return err
	}
	receipt, err := os.ReadFile(receiptFile)
	if err != nil {
		return err
	}
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		return err
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), receipt); err != nil {
		return err
	}
	extra, err := torchwood.ProofExtraData(receipt)
	if err != nil {
		return err
	}
	fmt.Printf("proved, with %d bytes more\n", len(extra))
	return nil
}
