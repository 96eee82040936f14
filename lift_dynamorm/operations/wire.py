"""DynamoDB's requests and answers as it writes them; binary values are base64 text, times are seconds since 1970.

Made by scripts/wire-types from botocore 1.43.106: do not edit. Imported for type checkers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Required, TypedDict, overload


class GetItemInput(TypedDict, total=False):
    TableName: Required[str]
    Key: Required[dict[str, AttributeValue]]
    AttributesToGet: list[str]
    ConsistentRead: bool
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ProjectionExpression: str
    ExpressionAttributeNames: dict[str, str]


class AttributeValue(TypedDict, total=False):
    S: str
    N: str
    B: str
    SS: list[str]
    NS: list[str]
    BS: list[str]
    M: dict[str, AttributeValue]
    L: list[AttributeValue]
    NULL: bool
    BOOL: bool


class GetItemOutput(TypedDict, total=False):
    Item: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity


class ConsumedCapacity(TypedDict, total=False):
    TableName: str
    CapacityUnits: float
    ReadCapacityUnits: float
    WriteCapacityUnits: float
    Table: Capacity
    LocalSecondaryIndexes: dict[str, Capacity]
    GlobalSecondaryIndexes: dict[str, Capacity]
    VectorIndexes: dict[str, VectorCapacity]


class Capacity(TypedDict, total=False):
    ReadCapacityUnits: float
    WriteCapacityUnits: float
    CapacityUnits: float


class VectorCapacity(TypedDict, total=False):
    VectorSearchRequestBytes: float
    VectorWriteRequestBytes: float


class PutItemInput(TypedDict, total=False):
    TableName: Required[str]
    Item: Required[dict[str, AttributeValue]]
    Expected: dict[str, ExpectedAttributeValue]
    ReturnValues: Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]
    ConditionalOperator: Literal["AND", "OR"]
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class ExpectedAttributeValue(TypedDict, total=False):
    Value: AttributeValue
    Exists: bool
    ComparisonOperator: Literal[
        "EQ",
        "NE",
        "IN",
        "LE",
        "LT",
        "GE",
        "GT",
        "BETWEEN",
        "NOT_NULL",
        "NULL",
        "CONTAINS",
        "NOT_CONTAINS",
        "BEGINS_WITH",
    ]
    AttributeValueList: list[AttributeValue]


class PutItemOutput(TypedDict, total=False):
    Attributes: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity
    ItemCollectionMetrics: ItemCollectionMetrics


class ItemCollectionMetrics(TypedDict, total=False):
    ItemCollectionKey: dict[str, AttributeValue]
    SizeEstimateRangeGB: list[float]


class UpdateItemInput(TypedDict, total=False):
    TableName: Required[str]
    Key: Required[dict[str, AttributeValue]]
    AttributeUpdates: dict[str, AttributeValueUpdate]
    Expected: dict[str, ExpectedAttributeValue]
    ConditionalOperator: Literal["AND", "OR"]
    ReturnValues: Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]
    UpdateExpression: str
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class AttributeValueUpdate(TypedDict, total=False):
    Value: AttributeValue
    Action: Literal["ADD", "PUT", "DELETE"]


class UpdateItemOutput(TypedDict, total=False):
    Attributes: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity
    ItemCollectionMetrics: ItemCollectionMetrics


class DeleteItemInput(TypedDict, total=False):
    TableName: Required[str]
    Key: Required[dict[str, AttributeValue]]
    Expected: dict[str, ExpectedAttributeValue]
    ConditionalOperator: Literal["AND", "OR"]
    ReturnValues: Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class DeleteItemOutput(TypedDict, total=False):
    Attributes: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity
    ItemCollectionMetrics: ItemCollectionMetrics


class QueryInput(TypedDict, total=False):
    TableName: Required[str]
    IndexName: str
    Select: Literal["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"]
    AttributesToGet: list[str]
    Limit: int
    ConsistentRead: bool
    KeyConditions: dict[str, Condition]
    QueryFilter: dict[str, Condition]
    ConditionalOperator: Literal["AND", "OR"]
    ScanIndexForward: bool
    ExclusiveStartKey: dict[str, AttributeValue]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ProjectionExpression: str
    FilterExpression: str
    KeyConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]


class Condition(TypedDict, total=False):
    AttributeValueList: list[AttributeValue]
    ComparisonOperator: Required[
        Literal[
            "EQ",
            "NE",
            "IN",
            "LE",
            "LT",
            "GE",
            "GT",
            "BETWEEN",
            "NOT_NULL",
            "NULL",
            "CONTAINS",
            "NOT_CONTAINS",
            "BEGINS_WITH",
        ]
    ]


class QueryOutput(TypedDict, total=False):
    Items: list[dict[str, AttributeValue]]
    Count: int
    ScannedCount: int
    LastEvaluatedKey: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity


class ScanInput(TypedDict, total=False):
    TableName: Required[str]
    IndexName: str
    AttributesToGet: list[str]
    Limit: int
    Select: Literal["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"]
    ScanFilter: dict[str, Condition]
    ConditionalOperator: Literal["AND", "OR"]
    ExclusiveStartKey: dict[str, AttributeValue]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    TotalSegments: int
    Segment: int
    ProjectionExpression: str
    FilterExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ConsistentRead: bool


class ScanOutput(TypedDict, total=False):
    Items: list[dict[str, AttributeValue]]
    Count: int
    ScannedCount: int
    LastEvaluatedKey: dict[str, AttributeValue]
    ConsumedCapacity: ConsumedCapacity


class BatchGetItemInput(TypedDict, total=False):
    RequestItems: Required[dict[str, KeysAndAttributes]]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]


class KeysAndAttributes(TypedDict, total=False):
    Keys: Required[list[dict[str, AttributeValue]]]
    AttributesToGet: list[str]
    ConsistentRead: bool
    ProjectionExpression: str
    ExpressionAttributeNames: dict[str, str]


class BatchGetItemOutput(TypedDict, total=False):
    Responses: dict[str, list[dict[str, AttributeValue]]]
    UnprocessedKeys: dict[str, KeysAndAttributes]
    ConsumedCapacity: list[ConsumedCapacity]


class BatchWriteItemInput(TypedDict, total=False):
    RequestItems: Required[dict[str, list[WriteRequest]]]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]


class WriteRequest(TypedDict, total=False):
    PutRequest: PutRequest
    DeleteRequest: DeleteRequest


class PutRequest(TypedDict, total=False):
    Item: Required[dict[str, AttributeValue]]


class DeleteRequest(TypedDict, total=False):
    Key: Required[dict[str, AttributeValue]]


class BatchWriteItemOutput(TypedDict, total=False):
    UnprocessedItems: dict[str, list[WriteRequest]]
    ItemCollectionMetrics: dict[str, list[ItemCollectionMetrics]]
    ConsumedCapacity: list[ConsumedCapacity]


class TransactGetItemsInput(TypedDict, total=False):
    TransactItems: Required[list[TransactGetItem]]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]


class TransactGetItem(TypedDict, total=False):
    Get: Required[Get]


class Get(TypedDict, total=False):
    Key: Required[dict[str, AttributeValue]]
    TableName: Required[str]
    ProjectionExpression: str
    ExpressionAttributeNames: dict[str, str]


class TransactGetItemsOutput(TypedDict, total=False):
    ConsumedCapacity: list[ConsumedCapacity]
    Responses: list[ItemResponse]


class ItemResponse(TypedDict, total=False):
    Item: dict[str, AttributeValue]


class TransactWriteItemsInput(TypedDict, total=False):
    TransactItems: Required[list[TransactWriteItem]]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]
    ClientRequestToken: str


class TransactWriteItem(TypedDict, total=False):
    ConditionCheck: ConditionCheck
    Put: Put
    Delete: Delete
    Update: Update


class ConditionCheck(TypedDict, total=False):
    Key: Required[dict[str, AttributeValue]]
    TableName: Required[str]
    ConditionExpression: Required[str]
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class Put(TypedDict, total=False):
    Item: Required[dict[str, AttributeValue]]
    TableName: Required[str]
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class Delete(TypedDict, total=False):
    Key: Required[dict[str, AttributeValue]]
    TableName: Required[str]
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class Update(TypedDict, total=False):
    Key: Required[dict[str, AttributeValue]]
    UpdateExpression: Required[str]
    TableName: Required[str]
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class TransactWriteItemsOutput(TypedDict, total=False):
    ConsumedCapacity: list[ConsumedCapacity]
    ItemCollectionMetrics: dict[str, list[ItemCollectionMetrics]]


class ExecuteStatementInput(TypedDict, total=False):
    Statement: Required[str]
    Parameters: list[AttributeValue]
    ConsistentRead: bool
    NextToken: str
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]
    Limit: int
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class ExecuteStatementOutput(TypedDict, total=False):
    Items: list[dict[str, AttributeValue]]
    NextToken: str
    ConsumedCapacity: ConsumedCapacity
    LastEvaluatedKey: dict[str, AttributeValue]


class BatchExecuteStatementInput(TypedDict, total=False):
    Statements: Required[list[BatchStatementRequest]]
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]


class BatchStatementRequest(TypedDict, total=False):
    Statement: Required[str]
    Parameters: list[AttributeValue]
    ConsistentRead: bool
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class BatchExecuteStatementOutput(TypedDict, total=False):
    Responses: list[BatchStatementResponse]
    ConsumedCapacity: list[ConsumedCapacity]


class BatchStatementResponse(TypedDict, total=False):
    Error: BatchStatementError
    TableName: str
    Item: dict[str, AttributeValue]


class BatchStatementError(TypedDict, total=False):
    Code: Literal[
        "ConditionalCheckFailed",
        "ItemCollectionSizeLimitExceeded",
        "RequestLimitExceeded",
        "ValidationError",
        "ProvisionedThroughputExceeded",
        "TransactionConflict",
        "ThrottlingError",
        "InternalServerError",
        "ResourceNotFound",
        "AccessDenied",
        "DuplicateItem",
    ]
    Message: str
    Item: dict[str, AttributeValue]


class ExecuteTransactionInput(TypedDict, total=False):
    TransactStatements: Required[list[ParameterizedStatement]]
    ClientRequestToken: str
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]


class ParameterizedStatement(TypedDict, total=False):
    Statement: Required[str]
    Parameters: list[AttributeValue]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class ExecuteTransactionOutput(TypedDict, total=False):
    Responses: list[ItemResponse]
    ConsumedCapacity: list[ConsumedCapacity]


class CreateTableInput(TypedDict, total=False):
    AttributeDefinitions: list[AttributeDefinition]
    TableName: Required[str]
    KeySchema: list[KeySchemaElement]
    LocalSecondaryIndexes: list[LocalSecondaryIndex]
    GlobalSecondaryIndexes: list[GlobalSecondaryIndex]
    BillingMode: Literal["PROVISIONED", "PAY_PER_REQUEST"]
    ProvisionedThroughput: ProvisionedThroughput
    StreamSpecification: StreamSpecification
    SSESpecification: SSESpecification
    Tags: list[Tag]
    TableClass: Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]
    DeletionProtectionEnabled: bool
    WarmThroughput: WarmThroughput
    ResourcePolicy: str
    OnDemandThroughput: OnDemandThroughput
    GlobalTableSourceArn: str
    GlobalTableSettingsReplicationMode: Literal["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]
    VectorIndexes: list[VectorIndex]


class AttributeDefinition(TypedDict, total=False):
    AttributeName: Required[str]
    AttributeType: Required[Literal["S", "N", "B"]]


class KeySchemaElement(TypedDict, total=False):
    AttributeName: Required[str]
    KeyType: Required[Literal["HASH", "RANGE"]]


class LocalSecondaryIndex(TypedDict, total=False):
    IndexName: Required[str]
    KeySchema: Required[list[KeySchemaElement]]
    Projection: Required[Projection]


class Projection(TypedDict, total=False):
    ProjectionType: Literal["ALL", "KEYS_ONLY", "INCLUDE"]
    NonKeyAttributes: list[str]


class GlobalSecondaryIndex(TypedDict, total=False):
    IndexName: Required[str]
    KeySchema: Required[list[KeySchemaElement]]
    Projection: Required[Projection]
    ProvisionedThroughput: ProvisionedThroughput
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: WarmThroughput


class ProvisionedThroughput(TypedDict, total=False):
    ReadCapacityUnits: Required[int]
    WriteCapacityUnits: Required[int]


class OnDemandThroughput(TypedDict, total=False):
    MaxReadRequestUnits: int
    MaxWriteRequestUnits: int


class WarmThroughput(TypedDict, total=False):
    ReadUnitsPerSecond: int
    WriteUnitsPerSecond: int


class StreamSpecification(TypedDict, total=False):
    StreamEnabled: Required[bool]
    StreamViewType: Literal["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"]


class SSESpecification(TypedDict, total=False):
    Enabled: bool
    SSEType: Literal["AES256", "KMS"]
    KMSMasterKeyId: str


class Tag(TypedDict, total=False):
    Key: Required[str]
    Value: Required[str]


class VectorIndex(TypedDict, total=False):
    IndexName: Required[str]
    VectorAttribute: Required[VectorAttributeDefinition]
    SearchSchema: list[SearchSchemaElement]
    Projection: Required[Projection]
    Dimensions: Required[int]
    DistanceFunction: Required[Literal["COSINE", "DOT_PRODUCT", "EUCLIDEAN"]]


class VectorAttributeDefinition(TypedDict, total=False):
    AttributeName: Required[str]


class SearchSchemaElement(TypedDict, total=False):
    AttributeName: Required[str]
    SearchSchemaElementType: Required[Literal["HASH", "INLINE_FILTER"]]


class CreateTableOutput(TypedDict, total=False):
    TableDescription: TableDescription


class TableDescription(TypedDict, total=False):
    AttributeDefinitions: list[AttributeDefinition]
    TableName: str
    KeySchema: list[KeySchemaElement]
    TableStatus: Literal[
        "CREATING",
        "UPDATING",
        "DELETING",
        "ACTIVE",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        "ARCHIVING",
        "ARCHIVED",
        "REPLICATION_NOT_AUTHORIZED",
    ]
    CreationDateTime: float
    ProvisionedThroughput: ProvisionedThroughputDescription
    TableSizeBytes: int
    ItemCount: int
    TableArn: str
    TableId: str
    BillingModeSummary: BillingModeSummary
    LocalSecondaryIndexes: list[LocalSecondaryIndexDescription]
    GlobalSecondaryIndexes: list[GlobalSecondaryIndexDescription]
    StreamSpecification: StreamSpecification
    LatestStreamLabel: str
    LatestStreamArn: str
    GlobalTableVersion: str
    Replicas: list[ReplicaDescription]
    GlobalTableWitnesses: list[GlobalTableWitnessDescription]
    GlobalTableSettingsReplicationMode: Literal["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]
    RestoreSummary: RestoreSummary
    SSEDescription: SSEDescription
    ArchivalSummary: ArchivalSummary
    TableClassSummary: TableClassSummary
    DeletionProtectionEnabled: bool
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: TableWarmThroughputDescription
    MultiRegionConsistency: Literal["EVENTUAL", "STRONG"]
    VectorIndexes: list[VectorIndexDescription]


class ProvisionedThroughputDescription(TypedDict, total=False):
    LastIncreaseDateTime: float
    LastDecreaseDateTime: float
    NumberOfDecreasesToday: int
    ReadCapacityUnits: int
    WriteCapacityUnits: int


class BillingModeSummary(TypedDict, total=False):
    BillingMode: Literal["PROVISIONED", "PAY_PER_REQUEST"]
    LastUpdateToPayPerRequestDateTime: float


class LocalSecondaryIndexDescription(TypedDict, total=False):
    IndexName: str
    KeySchema: list[KeySchemaElement]
    Projection: Projection
    IndexSizeBytes: int
    ItemCount: int
    IndexArn: str


class GlobalSecondaryIndexDescription(TypedDict, total=False):
    IndexName: str
    KeySchema: list[KeySchemaElement]
    Projection: Projection
    IndexStatus: Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
    Backfilling: bool
    ProvisionedThroughput: ProvisionedThroughputDescription
    IndexSizeBytes: int
    ItemCount: int
    IndexArn: str
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: GlobalSecondaryIndexWarmThroughputDescription


class GlobalSecondaryIndexWarmThroughputDescription(TypedDict, total=False):
    ReadUnitsPerSecond: int
    WriteUnitsPerSecond: int
    Status: Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]


class ReplicaDescription(TypedDict, total=False):
    RegionName: str
    ReplicaStatus: Literal[
        "CREATING",
        "CREATION_FAILED",
        "UPDATING",
        "DELETING",
        "ACTIVE",
        "REGION_DISABLED",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        "ARCHIVING",
        "ARCHIVED",
        "REPLICATION_NOT_AUTHORIZED",
    ]
    ReplicaArn: str
    ReplicaStatusDescription: str
    ReplicaStatusPercentProgress: str
    KMSMasterKeyId: str
    ProvisionedThroughputOverride: ProvisionedThroughputOverride
    OnDemandThroughputOverride: OnDemandThroughputOverride
    WarmThroughput: TableWarmThroughputDescription
    GlobalSecondaryIndexes: list[ReplicaGlobalSecondaryIndexDescription]
    ReplicaInaccessibleDateTime: float
    ReplicaTableClassSummary: TableClassSummary
    GlobalTableSettingsReplicationMode: Literal["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]


class ProvisionedThroughputOverride(TypedDict, total=False):
    ReadCapacityUnits: int


class OnDemandThroughputOverride(TypedDict, total=False):
    MaxReadRequestUnits: int


class TableWarmThroughputDescription(TypedDict, total=False):
    ReadUnitsPerSecond: int
    WriteUnitsPerSecond: int
    Status: Literal[
        "CREATING",
        "UPDATING",
        "DELETING",
        "ACTIVE",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        "ARCHIVING",
        "ARCHIVED",
        "REPLICATION_NOT_AUTHORIZED",
    ]


class ReplicaGlobalSecondaryIndexDescription(TypedDict, total=False):
    IndexName: str
    ProvisionedThroughputOverride: ProvisionedThroughputOverride
    OnDemandThroughputOverride: OnDemandThroughputOverride
    WarmThroughput: GlobalSecondaryIndexWarmThroughputDescription


class TableClassSummary(TypedDict, total=False):
    TableClass: Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]
    LastUpdateDateTime: float


class GlobalTableWitnessDescription(TypedDict, total=False):
    RegionName: str
    WitnessStatus: Literal["CREATING", "DELETING", "ACTIVE"]


class RestoreSummary(TypedDict, total=False):
    SourceBackupArn: str
    SourceTableArn: str
    RestoreDateTime: Required[float]
    RestoreInProgress: Required[bool]


class SSEDescription(TypedDict, total=False):
    Status: Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED", "UPDATING"]
    SSEType: Literal["AES256", "KMS"]
    KMSMasterKeyArn: str
    InaccessibleEncryptionDateTime: float


class ArchivalSummary(TypedDict, total=False):
    ArchivalDateTime: float
    ArchivalReason: str
    ArchivalBackupArn: str


class VectorIndexDescription(TypedDict, total=False):
    IndexName: str
    SearchSchema: list[SearchSchemaElement]
    Projection: Projection
    VectorAttribute: VectorAttributeDefinition
    Dimensions: int
    DistanceFunction: Literal["COSINE", "DOT_PRODUCT", "EUCLIDEAN"]
    IndexStatus: Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
    Backfilling: bool
    IndexSizeBytes: int
    ItemCount: int
    IndexArn: str


class DescribeTableInput(TypedDict, total=False):
    TableName: Required[str]


class DescribeTableOutput(TypedDict, total=False):
    Table: TableDescription


class UpdateTableInput(TypedDict, total=False):
    AttributeDefinitions: list[AttributeDefinition]
    TableName: Required[str]
    BillingMode: Literal["PROVISIONED", "PAY_PER_REQUEST"]
    ProvisionedThroughput: ProvisionedThroughput
    GlobalSecondaryIndexUpdates: list[GlobalSecondaryIndexUpdate]
    StreamSpecification: StreamSpecification
    SSESpecification: SSESpecification
    ReplicaUpdates: list[ReplicationGroupUpdate]
    TableClass: Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]
    DeletionProtectionEnabled: bool
    MultiRegionConsistency: Literal["EVENTUAL", "STRONG"]
    GlobalTableWitnessUpdates: list[GlobalTableWitnessGroupUpdate]
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: WarmThroughput
    GlobalTableSettingsReplicationMode: Literal["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]
    VectorIndexUpdates: list[VectorIndexUpdate]


class GlobalSecondaryIndexUpdate(TypedDict, total=False):
    Update: UpdateGlobalSecondaryIndexAction
    Create: CreateGlobalSecondaryIndexAction
    Delete: DeleteGlobalSecondaryIndexAction


class UpdateGlobalSecondaryIndexAction(TypedDict, total=False):
    IndexName: Required[str]
    ProvisionedThroughput: ProvisionedThroughput
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: WarmThroughput


class CreateGlobalSecondaryIndexAction(TypedDict, total=False):
    IndexName: Required[str]
    KeySchema: Required[list[KeySchemaElement]]
    Projection: Required[Projection]
    ProvisionedThroughput: ProvisionedThroughput
    OnDemandThroughput: OnDemandThroughput
    WarmThroughput: WarmThroughput


class DeleteGlobalSecondaryIndexAction(TypedDict, total=False):
    IndexName: Required[str]


class ReplicationGroupUpdate(TypedDict, total=False):
    Create: CreateReplicationGroupMemberAction
    Update: UpdateReplicationGroupMemberAction
    Delete: DeleteReplicationGroupMemberAction


class CreateReplicationGroupMemberAction(TypedDict, total=False):
    RegionName: Required[str]
    KMSMasterKeyId: str
    ProvisionedThroughputOverride: ProvisionedThroughputOverride
    OnDemandThroughputOverride: OnDemandThroughputOverride
    GlobalSecondaryIndexes: list[ReplicaGlobalSecondaryIndex]
    TableClassOverride: Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]


class ReplicaGlobalSecondaryIndex(TypedDict, total=False):
    IndexName: Required[str]
    ProvisionedThroughputOverride: ProvisionedThroughputOverride
    OnDemandThroughputOverride: OnDemandThroughputOverride


class UpdateReplicationGroupMemberAction(TypedDict, total=False):
    RegionName: Required[str]
    KMSMasterKeyId: str
    ProvisionedThroughputOverride: ProvisionedThroughputOverride
    OnDemandThroughputOverride: OnDemandThroughputOverride
    GlobalSecondaryIndexes: list[ReplicaGlobalSecondaryIndex]
    TableClassOverride: Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]


class DeleteReplicationGroupMemberAction(TypedDict, total=False):
    RegionName: Required[str]


class GlobalTableWitnessGroupUpdate(TypedDict, total=False):
    Create: CreateGlobalTableWitnessGroupMemberAction
    Delete: DeleteGlobalTableWitnessGroupMemberAction


class CreateGlobalTableWitnessGroupMemberAction(TypedDict, total=False):
    RegionName: Required[str]


class DeleteGlobalTableWitnessGroupMemberAction(TypedDict, total=False):
    RegionName: Required[str]


class VectorIndexUpdate(TypedDict, total=False):
    Create: CreateVectorIndexAction
    Delete: DeleteVectorIndexAction


class CreateVectorIndexAction(TypedDict, total=False):
    IndexName: Required[str]
    VectorAttribute: Required[VectorAttributeDefinition]
    SearchSchema: list[SearchSchemaElement]
    Projection: Required[Projection]
    Dimensions: Required[int]
    DistanceFunction: Required[Literal["COSINE", "DOT_PRODUCT", "EUCLIDEAN"]]


class DeleteVectorIndexAction(TypedDict, total=False):
    IndexName: Required[str]


class UpdateTableOutput(TypedDict, total=False):
    TableDescription: TableDescription


class DeleteTableInput(TypedDict, total=False):
    TableName: Required[str]


class DeleteTableOutput(TypedDict, total=False):
    TableDescription: TableDescription


class ListTablesInput(TypedDict, total=False):
    ExclusiveStartTableName: str
    Limit: int


class ListTablesOutput(TypedDict, total=False):
    TableNames: list[str]
    LastEvaluatedTableName: str


class DescribeTimeToLiveInput(TypedDict, total=False):
    TableName: Required[str]


class DescribeTimeToLiveOutput(TypedDict, total=False):
    TimeToLiveDescription: TimeToLiveDescription


class TimeToLiveDescription(TypedDict, total=False):
    TimeToLiveStatus: Literal["ENABLING", "DISABLING", "ENABLED", "DISABLED"]
    AttributeName: str


class UpdateTimeToLiveInput(TypedDict, total=False):
    TableName: Required[str]
    TimeToLiveSpecification: Required[TimeToLiveSpecification]


class TimeToLiveSpecification(TypedDict, total=False):
    Enabled: Required[bool]
    AttributeName: Required[str]


class UpdateTimeToLiveOutput(TypedDict, total=False):
    TimeToLiveSpecification: TimeToLiveSpecification


class DescribeContinuousBackupsInput(TypedDict, total=False):
    TableName: Required[str]


class DescribeContinuousBackupsOutput(TypedDict, total=False):
    ContinuousBackupsDescription: ContinuousBackupsDescription


class ContinuousBackupsDescription(TypedDict, total=False):
    ContinuousBackupsStatus: Required[Literal["ENABLED", "DISABLED"]]
    PointInTimeRecoveryDescription: PointInTimeRecoveryDescription


class PointInTimeRecoveryDescription(TypedDict, total=False):
    PointInTimeRecoveryStatus: Literal["ENABLED", "DISABLED"]
    RecoveryPeriodInDays: int
    EarliestRestorableDateTime: float
    LatestRestorableDateTime: float


class UpdateContinuousBackupsInput(TypedDict, total=False):
    TableName: Required[str]
    PointInTimeRecoverySpecification: Required[PointInTimeRecoverySpecification]


class PointInTimeRecoverySpecification(TypedDict, total=False):
    PointInTimeRecoveryEnabled: Required[bool]
    RecoveryPeriodInDays: int


class UpdateContinuousBackupsOutput(TypedDict, total=False):
    ContinuousBackupsDescription: ContinuousBackupsDescription


class TagResourceInput(TypedDict, total=False):
    ResourceArn: Required[str]
    Tags: Required[list[Tag]]


class UntagResourceInput(TypedDict, total=False):
    ResourceArn: Required[str]
    TagKeys: Required[list[str]]


class ListTagsOfResourceInput(TypedDict, total=False):
    ResourceArn: Required[str]
    NextToken: str


class ListTagsOfResourceOutput(TypedDict, total=False):
    Tags: list[Tag]
    NextToken: str


class NotTheInput:
    """What no payload has: only `Any` passes for it. So a payload is that of its operation, or a ``dict[str, Any]``."""


class Execute(Protocol):
    """`Session.execute`, by operation."""

    @overload
    async def __call__(self, operation: Literal["ListTables"], payload: ListTablesInput) -> ListTablesOutput: ...
    @overload
    async def __call__(self, operation: str, payload: Mapping[str, NotTheInput]) -> dict[str, Any]: ...
    @overload
    async def __call__(self, operation: Literal["GetItem"], payload: GetItemInput) -> GetItemOutput: ...
    @overload
    async def __call__(self, operation: Literal["PutItem"], payload: PutItemInput) -> PutItemOutput: ...
    @overload
    async def __call__(self, operation: Literal["UpdateItem"], payload: UpdateItemInput) -> UpdateItemOutput: ...
    @overload
    async def __call__(self, operation: Literal["DeleteItem"], payload: DeleteItemInput) -> DeleteItemOutput: ...
    @overload
    async def __call__(self, operation: Literal["Query"], payload: QueryInput) -> QueryOutput: ...
    @overload
    async def __call__(self, operation: Literal["Scan"], payload: ScanInput) -> ScanOutput: ...
    @overload
    async def __call__(self, operation: Literal["BatchGetItem"], payload: BatchGetItemInput) -> BatchGetItemOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["BatchWriteItem"], payload: BatchWriteItemInput
    ) -> BatchWriteItemOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["TransactGetItems"], payload: TransactGetItemsInput
    ) -> TransactGetItemsOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["TransactWriteItems"], payload: TransactWriteItemsInput
    ) -> TransactWriteItemsOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["ExecuteStatement"], payload: ExecuteStatementInput
    ) -> ExecuteStatementOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["BatchExecuteStatement"], payload: BatchExecuteStatementInput
    ) -> BatchExecuteStatementOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["ExecuteTransaction"], payload: ExecuteTransactionInput
    ) -> ExecuteTransactionOutput: ...
    @overload
    async def __call__(self, operation: Literal["CreateTable"], payload: CreateTableInput) -> CreateTableOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["DescribeTable"], payload: DescribeTableInput
    ) -> DescribeTableOutput: ...
    @overload
    async def __call__(self, operation: Literal["UpdateTable"], payload: UpdateTableInput) -> UpdateTableOutput: ...
    @overload
    async def __call__(self, operation: Literal["DeleteTable"], payload: DeleteTableInput) -> DeleteTableOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["DescribeTimeToLive"], payload: DescribeTimeToLiveInput
    ) -> DescribeTimeToLiveOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["UpdateTimeToLive"], payload: UpdateTimeToLiveInput
    ) -> UpdateTimeToLiveOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["DescribeContinuousBackups"], payload: DescribeContinuousBackupsInput
    ) -> DescribeContinuousBackupsOutput: ...
    @overload
    async def __call__(
        self, operation: Literal["UpdateContinuousBackups"], payload: UpdateContinuousBackupsInput
    ) -> UpdateContinuousBackupsOutput: ...
    @overload
    async def __call__(self, operation: Literal["TagResource"], payload: TagResourceInput) -> dict[str, Any]: ...
    @overload
    async def __call__(self, operation: Literal["UntagResource"], payload: UntagResourceInput) -> dict[str, Any]: ...
    @overload
    async def __call__(
        self, operation: Literal["ListTagsOfResource"], payload: ListTagsOfResourceInput
    ) -> ListTagsOfResourceOutput: ...
    @overload
    async def __call__(
        self,
        operation: Literal[
            "CreateBackup",
            "CreateGlobalTable",
            "DeleteBackup",
            "DeleteResourcePolicy",
            "DescribeBackup",
            "DescribeContributorInsights",
            "DescribeEndpoints",
            "DescribeExport",
            "DescribeGlobalTable",
            "DescribeGlobalTableSettings",
            "DescribeImport",
            "DescribeKinesisStreamingDestination",
            "DescribeLimits",
            "DescribeTableReplicaAutoScaling",
            "DisableKinesisStreamingDestination",
            "EnableKinesisStreamingDestination",
            "ExportTableToPointInTime",
            "GetResourcePolicy",
            "ImportTable",
            "ListBackups",
            "ListContributorInsights",
            "ListExports",
            "ListGlobalTables",
            "ListImports",
            "PutResourcePolicy",
            "RestoreTableFromBackup",
            "RestoreTableToPointInTime",
            "SearchVectors",
            "UpdateContributorInsights",
            "UpdateGlobalTable",
            "UpdateGlobalTableSettings",
            "UpdateKinesisStreamingDestination",
            "UpdateTableReplicaAutoScaling",
        ],
        payload: Mapping[str, Any],
    ) -> dict[str, Any]: ...


class SyncExecute(Protocol):
    """`SyncSession.execute`, by operation."""

    @overload
    def __call__(self, operation: Literal["ListTables"], payload: ListTablesInput) -> ListTablesOutput: ...
    @overload
    def __call__(self, operation: str, payload: Mapping[str, NotTheInput]) -> dict[str, Any]: ...
    @overload
    def __call__(self, operation: Literal["GetItem"], payload: GetItemInput) -> GetItemOutput: ...
    @overload
    def __call__(self, operation: Literal["PutItem"], payload: PutItemInput) -> PutItemOutput: ...
    @overload
    def __call__(self, operation: Literal["UpdateItem"], payload: UpdateItemInput) -> UpdateItemOutput: ...
    @overload
    def __call__(self, operation: Literal["DeleteItem"], payload: DeleteItemInput) -> DeleteItemOutput: ...
    @overload
    def __call__(self, operation: Literal["Query"], payload: QueryInput) -> QueryOutput: ...
    @overload
    def __call__(self, operation: Literal["Scan"], payload: ScanInput) -> ScanOutput: ...
    @overload
    def __call__(self, operation: Literal["BatchGetItem"], payload: BatchGetItemInput) -> BatchGetItemOutput: ...
    @overload
    def __call__(self, operation: Literal["BatchWriteItem"], payload: BatchWriteItemInput) -> BatchWriteItemOutput: ...
    @overload
    def __call__(
        self, operation: Literal["TransactGetItems"], payload: TransactGetItemsInput
    ) -> TransactGetItemsOutput: ...
    @overload
    def __call__(
        self, operation: Literal["TransactWriteItems"], payload: TransactWriteItemsInput
    ) -> TransactWriteItemsOutput: ...
    @overload
    def __call__(
        self, operation: Literal["ExecuteStatement"], payload: ExecuteStatementInput
    ) -> ExecuteStatementOutput: ...
    @overload
    def __call__(
        self, operation: Literal["BatchExecuteStatement"], payload: BatchExecuteStatementInput
    ) -> BatchExecuteStatementOutput: ...
    @overload
    def __call__(
        self, operation: Literal["ExecuteTransaction"], payload: ExecuteTransactionInput
    ) -> ExecuteTransactionOutput: ...
    @overload
    def __call__(self, operation: Literal["CreateTable"], payload: CreateTableInput) -> CreateTableOutput: ...
    @overload
    def __call__(self, operation: Literal["DescribeTable"], payload: DescribeTableInput) -> DescribeTableOutput: ...
    @overload
    def __call__(self, operation: Literal["UpdateTable"], payload: UpdateTableInput) -> UpdateTableOutput: ...
    @overload
    def __call__(self, operation: Literal["DeleteTable"], payload: DeleteTableInput) -> DeleteTableOutput: ...
    @overload
    def __call__(
        self, operation: Literal["DescribeTimeToLive"], payload: DescribeTimeToLiveInput
    ) -> DescribeTimeToLiveOutput: ...
    @overload
    def __call__(
        self, operation: Literal["UpdateTimeToLive"], payload: UpdateTimeToLiveInput
    ) -> UpdateTimeToLiveOutput: ...
    @overload
    def __call__(
        self, operation: Literal["DescribeContinuousBackups"], payload: DescribeContinuousBackupsInput
    ) -> DescribeContinuousBackupsOutput: ...
    @overload
    def __call__(
        self, operation: Literal["UpdateContinuousBackups"], payload: UpdateContinuousBackupsInput
    ) -> UpdateContinuousBackupsOutput: ...
    @overload
    def __call__(self, operation: Literal["TagResource"], payload: TagResourceInput) -> dict[str, Any]: ...
    @overload
    def __call__(self, operation: Literal["UntagResource"], payload: UntagResourceInput) -> dict[str, Any]: ...
    @overload
    def __call__(
        self, operation: Literal["ListTagsOfResource"], payload: ListTagsOfResourceInput
    ) -> ListTagsOfResourceOutput: ...
    @overload
    def __call__(
        self,
        operation: Literal[
            "CreateBackup",
            "CreateGlobalTable",
            "DeleteBackup",
            "DeleteResourcePolicy",
            "DescribeBackup",
            "DescribeContributorInsights",
            "DescribeEndpoints",
            "DescribeExport",
            "DescribeGlobalTable",
            "DescribeGlobalTableSettings",
            "DescribeImport",
            "DescribeKinesisStreamingDestination",
            "DescribeLimits",
            "DescribeTableReplicaAutoScaling",
            "DisableKinesisStreamingDestination",
            "EnableKinesisStreamingDestination",
            "ExportTableToPointInTime",
            "GetResourcePolicy",
            "ImportTable",
            "ListBackups",
            "ListContributorInsights",
            "ListExports",
            "ListGlobalTables",
            "ListImports",
            "PutResourcePolicy",
            "RestoreTableFromBackup",
            "RestoreTableToPointInTime",
            "SearchVectors",
            "UpdateContributorInsights",
            "UpdateGlobalTable",
            "UpdateGlobalTableSettings",
            "UpdateKinesisStreamingDestination",
            "UpdateTableReplicaAutoScaling",
        ],
        payload: Mapping[str, Any],
    ) -> dict[str, Any]: ...
