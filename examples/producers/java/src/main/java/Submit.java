import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import java.util.UUID;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Asks for one run: Submit SCHEMA TENANT REQUEST_ID INPUT. The same request id again is not run again. */
public class Submit {
    static final String TOPIC = "penstock.accounts.requests.v1";

    public static void main(String[] args) throws Exception {
        Schema schema = new Schema.Parser().parse(Path.of(args[0]).toFile());
        GenericRecord request = new GenericRecordBuilder(schema)
                .set("event_id", UUID.randomUUID().toString())
                .set("tenant_id", args[1])
                .set("occurred_at", System.currentTimeMillis() * 1_000)
                .set("request_id", args[2])
                .set("agent_type", "echo")
                .set("input", args[3])
                .build();  // the other fields have defaults

        ByteArrayOutputStream value = new ByteArrayOutputStream();
        DataOutputStream framing = new DataOutputStream(value);
        framing.writeByte(0);
        framing.writeInt(schemaId(schema));
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(value, null);
        new GenericDatumWriter<GenericRecord>(schema).write(request, encoder);
        encoder.flush();

        Map<String, Object> settings = Map.of(
                "bootstrap.servers", System.getenv("PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"),
                "acks", "all");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(TOPIC, args[1], value.toByteArray())).get();
        }
        System.out.println("sent " + args[2]);
    }

    /** The registry's number for exactly this schema, which it has since `penstock schemas register`. */
    static int schemaId(Schema schema) throws Exception {
        String url = System.getenv("PENSTOCK_REGISTRY_URL") + "/subjects/" + TOPIC + "-" + schema.getFullName()
                + "/versions/latest";
        HttpResponse<String> answer = HttpClient.newHttpClient()
                .send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IllegalStateException(url + " answered " + answer.statusCode() + ": " + answer.body());
        }
        return Integer.parseInt(answer.body().replaceAll("(?s).*\"id\"\\s*:\\s*(\\d+).*", "$1"));
    }
}
