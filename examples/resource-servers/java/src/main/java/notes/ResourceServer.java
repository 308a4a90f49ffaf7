// ISSUER=http://127.0.0.1:8080 mvn spring-boot:run
package notes;

import static org.springframework.security.config.Customizer.withDefaults;
import static org.springframework.security.oauth2.core.OAuth2TokenValidatorResult.failure;
import static org.springframework.security.oauth2.core.OAuth2TokenValidatorResult.success;
import static org.springframework.security.oauth2.jose.jws.SignatureAlgorithm.*;

import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Bean;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.jwt.*;
import org.springframework.security.oauth2.server.resource.web.BearerTokenAuthenticationEntryPoint;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.*;

@SpringBootApplication public class ResourceServer {
    public static void main(String[] arguments) {
        String jwt = "spring.security.oauth2.resourceserver.jwt.";
        String[] settings = {"server.address=127.0.0.1", "server.port=${PORT:3000}",
            jwt + "authorities-claim-name=roles", jwt + "authority-prefix=ROLE_"};
        new SpringApplicationBuilder(ResourceServer.class).properties(settings).run(arguments);
    }

    @Bean JotgateFeed feed(@Value("${ISSUER}") String issuer, @Value("${STALE_AFTER:60}") long seconds) {
        return new JotgateFeed(issuer, Duration.ofSeconds(seconds));
    }

    /** Takes a token that is the issuer's, for this server, in time (a minute of leeway) and not revoked. */
    @Bean JwtDecoder decoder(JotgateFeed feed, @Value("${ISSUER}") String issuer,
            @Value("${AUDIENCE:${ISSUER}}") String us) throws Exception {
        // Kept for five minutes; unknown keys have them asked for again, twice in 30 s at most.
        var fetch = new DefaultResourceRetriever(5_000, 5_000, 1 << 20);
        var keys = JWKSourceBuilder.create(URI.create(feed.jwksUri()).toURL(), fetch).rateLimited(30_000).build();
        var good = List.of(ES256, ES384, RS256, PS256);
        var decoder = NimbusJwtDecoder.withJwkSource(keys).jwsAlgorithms(all -> all.addAll(good)).build();
        decoder.setJwtValidator(JwtValidators.createAtJwtValidator().issuer(issuer).audience(us).validators(all -> {
            all.put("client_id", new JwtClaimValidator<>("client_id", Objects::nonNull));
            all.put("status", token -> feed.isRevoked(token.getClaims(), (String) token.getHeaders().get("kid"))
                    ? failure(new OAuth2Error("invalid_token")) : success());
        }).build());
        return token -> {
            try {
                return decoder.decode(token);
            } catch (JwtException | JotgateFeed.Stale error) {
                throw new BadJwtException("refused", error); // whose fault it is, the entry point below asks
            }
        };
    }

    @Bean SecurityFilterChain rules(HttpSecurity http, JotgateFeed feed) throws Exception {
        return http.requestCache(cache -> cache.disable()).authorizeHttpRequests(rules -> rules
                .requestMatchers("/healthz").permitAll().requestMatchers(HttpMethod.DELETE).hasRole("editor")
                .anyRequest().authenticated())
            .oauth2ResourceServer(server -> server.jwt(withDefaults()).authenticationEntryPoint((asked, answer, why) -> {
                if (feed.state().fresh()) new BearerTokenAuthenticationEntryPoint().commence(asked, answer, why);
                else answer.setStatus(503); // nothing can be called good
            })).build();
    }
}

@RestController record Notes(JotgateFeed feed) {
    @GetMapping("/healthz") JotgateFeed.State health() {
        return feed.state();
    }

    @GetMapping("/notes") Map<String, ?> read(@AuthenticationPrincipal Jwt token) {
        return Map.of("notes", List.of(), "of", token.getClaims().get("preferred_username"));
    }

    @DeleteMapping("/notes") Map<String, ?> delete(@AuthenticationPrincipal Jwt token) {
        return Map.of("deleted_by", token.getSubject());
    }
}
