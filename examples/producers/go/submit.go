// Asks for one run: submit SCHEMA TENANT REQUEST_ID INPUT. The same request id again is not run again.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "penstock.accounts.requests.v1"

func main() {
	schemaFile, tenant, requestID, input := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	text, err := os.ReadFile(schemaFile)
	check(err)
	schema, err := avro.Parse(string(text))
	check(err)

	eventID := make([]byte, 16)
	rand.Read(eventID)
	body, err := avro.Marshal(schema, map[string]any{
		"event_id":    fmt.Sprintf("%x", eventID),
		"tenant_id":   tenant,
		"occurred_at": time.Now().UTC(),
		"request_id":  requestID,
		"agent_type":  "echo",
		"input":       input,
	}) // the other fields have defaults
	check(err)

	value := []byte{0} // framing: a zero, and the schema's number in the registry
	value = binary.BigEndian.AppendUint32(value, schemaID(schema.(avro.NamedSchema).FullName()))
	value = append(value, body...)

	brokers := strings.Split(os.Getenv("PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"), ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RequiredAcks(kgo.AllISRAcks()))
	check(err)
	defer client.Close()
	record := &kgo.Record{Topic: topic, Key: []byte(tenant), Value: value}
	check(client.ProduceSync(context.Background(), record).FirstErr())
	fmt.Println("sent", requestID)
}

func schemaID(name string) uint32 {
	url := os.Getenv("PENSTOCK_REGISTRY_URL") + "/subjects/" + topic + "-" + name + "/versions/latest"
	answer, err := http.Get(url)
	check(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s answered %s", url, answer.Status)
	}
	var version struct{ ID uint32 }
	check(json.NewDecoder(answer.Body).Decode(&version))
	return version.ID
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
